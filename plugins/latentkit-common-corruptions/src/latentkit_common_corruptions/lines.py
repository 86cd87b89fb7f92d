"""``lines``: straight lines that cover parts of the image.

Each line goes through a uniformly drawn point of the image in a uniformly drawn direction. Its
edges are smoothed over one pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import LinesOptions


def build(options: LinesOptions) -> Corruption:
    """Return the corruption; each image has different lines."""
    width = options.width

    def cross_out(images: Tensor, generator: Generator) -> Tensor:
        n, _, height, columns = images.shape
        device = images.device
        draws = torch.rand(options.count, 3, n, 1, 1, device=device, generator=generator)
        y = torch.arange(height, device=device)[:, None] + 0.5
        x = torch.arange(columns, device=device) + 0.5
        hidden = torch.zeros(n, height, columns, device=device)
        for row, column, turn in draws:
            angle = turn * math.pi
            across = (x - column * columns) * angle.sin() - (y - row * height) * angle.cos()
            # A line narrower than a pixel is translucent.
            cover = ((width + 1) / 2 - across.abs()).clamp_(0, min(width, 1))
            hidden = torch.maximum(hidden, cover)
        hidden = hidden[:, None]
        return (images * (1 - hidden)).add_(options.shade * hidden).clamp_(0, 1)

    return cross_out
