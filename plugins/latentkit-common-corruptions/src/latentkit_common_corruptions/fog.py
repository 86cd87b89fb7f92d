"""``fog``: x' = (x + a f) p / (p + a), f a cloud in [0, 1], p the image's brightest pixel.

The cloud is a fractal of the diamond-square algorithm (A. Fournier, D. Fussell, L. Carpenter,
CACM 25, 1982) on a torus, the same in all channels of an image. An image that is black stays so.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import FogOptions

_TINY = 1e-12


def build(options: FogOptions) -> Corruption:
    """Return the corruption; each image has a cloud of its own."""

    def fog(images: Tensor, generator: Generator) -> Tensor:
        height, width = images.shape[2:]
        side = 1 << (max(height, width) - 1).bit_length()
        clouds = plasma(len(images), side, options.decay, generator, images.device)
        peaks = images.amax((1, 2, 3), keepdim=True)
        foggy = images + options.amount * clouds[:, None, :height, :width]
        return foggy.mul_(peaks / (peaks + options.amount).clamp_(min=_TINY)).clamp_(0, 1)

    return fog


def plasma(
    n: int, side: int, decay: float, generator: Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Return clouds (n, side, side) that each reach from 0 to 1.

    Args:
        n: how many.
        side: a power of two.
        decay: each halving of scale divides the random displacement by its square.
        generator: of the displacements.
        device: of the generator.
    """
    clouds = torch.zeros(n, side, side, device=device)
    height, step = 1.0, side
    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]

        def displaced(
            total: Tensor, shape: torch.Size = corners.shape, height: float = height
        ) -> Tensor:
            draws = torch.rand(shape, device=device, generator=generator)
            return total / 4 + height * (2 * draws - 1)

        beside, below = corners + corners.roll(-1, 2), corners + corners.roll(-1, 1)
        centres = displaced(beside + beside.roll(-1, 1))
        clouds[:, half::step, half::step] = centres
        clouds[:, ::step, half::step] = displaced(beside + centres + centres.roll(1, 1))
        clouds[:, half::step, ::step] = displaced(below + centres + centres.roll(1, 2))
        height, step = height / decay**2, half
    low, high = clouds.amin((1, 2), keepdim=True), clouds.amax((1, 2), keepdim=True)
    return (clouds - low) / (high - low).clamp_(min=_TINY)
