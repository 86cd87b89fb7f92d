"""``pixelate``: the image is made smaller and large again, by Pillow's box filter.

That is linear along each side, so each side has a matrix: a row for each pixel, with the weights of
the pixels that it becomes the mean of.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import PixelateOptions

_ROUNDING = 1e-9


def build(options: PixelateOptions) -> Corruption:
    """Return the corruption."""

    def pixelate(images: Tensor, generator: Generator) -> Tensor:
        rows, columns = (
            blocks(side, side * (1 - options.amount)).to(images.device) for side in images.shape[2:]
        )
        return (rows @ images @ columns.T).clamp_(0, 1)

    return pixelate


def blocks(side: int, fewer: float) -> Tensor:
    """Return the matrix (side, side) that takes a line of pixels to one of ``fewer`` and back.

    Args:
        side: pixels in the line.
        fewer: how many it shall have between; rounded down, and 1 at least.
    """
    n = max(1, math.floor(fewer + _ROUNDING))
    # Twice the centre of each pixel, in units of the coarse pixels' 1/side, is a whole number.
    centres = (2 * torch.arange(side) + 1) * n
    # A centre between two coarse pixels counts for the first, and is drawn as the second.
    taken = (centres - 1).div(2 * side, rounding_mode="floor")
    drawn = centres.div(2 * side, rounding_mode="floor")
    means = (torch.arange(n)[:, None] == taken).float()
    return (means / means.sum(1, keepdim=True))[drawn]
