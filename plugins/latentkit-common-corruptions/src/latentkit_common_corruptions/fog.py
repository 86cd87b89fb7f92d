"""``fog``: x' = (x + a f) p / (p + a) with a cloud f in [0, 1] and the brightest pixel p.

The cloud is a fractal from the diamond-square algorithm (A. Fournier, D. Fussell, L. Carpenter,
CACM 25, 1982) on a torus. All channels of an image have the same cloud. A black image stays black.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import FogOptions

_TINY = 1e-12


def build(options: FogOptions) -> Corruption:
    """Return the corruption; each image has a different cloud."""

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
    """Return clouds (n, side, side), each scaled to the range from 0 to 1.

    Args:
        n: number of clouds.
        side: side in pixels, a power of two.
        decay: each halving of the scale divides the random displacement by ``decay**2``.
        generator: source of the random displacements.
        device: device of the generator and of the clouds.
    """
    # Diamond-square: at each scale, displace the centres of squares and then the midpoints of
    # their sides from the mean of their four neighbours. ``roll`` closes the torus, so that points
    # at the border have four neighbours too.
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
