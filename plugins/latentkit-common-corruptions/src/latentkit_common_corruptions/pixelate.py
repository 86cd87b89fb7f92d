"""``pixelate``: scale the image down and up again, as Pillow's box filter does.

This is linear along each side, so it is a matrix product. Row i of a side's matrix has the weights
of the pixels whose mean replaces pixel i.
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
    """Return the matrix (side, side) that scales a line of pixels down and up again.

    Args:
        side: number of pixels in the line.
        fewer: number of coarse pixels; rounded down, but at least 1.
    """
    n = max(1, math.floor(fewer + _ROUNDING))
    # Pixel centres in units of coarse pixels, times 2 * side: integers, so divisions are exact.
    centres = (2 * torch.arange(side) + 1) * n
    # A centre on the border of two coarse pixels is averaged into the first, but shows the second.
    taken = (centres - 1).div(2 * side, rounding_mode="floor")
    drawn = centres.div(2 * side, rounding_mode="floor")
    means = (torch.arange(n)[:, None] == taken).float()
    return (means / means.sum(1, keepdim=True))[drawn]
