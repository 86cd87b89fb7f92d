"""``shot-noise`` and ``speckle-noise``: noise that grows with the brightness of the pixel.

Both are clipped to [0, 1], which removes half of the noise from white pixels.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import ShotNoiseOptions, SpeckleNoiseOptions


def build_shot_noise(options: ShotNoiseOptions) -> Corruption:
    """Return x' = Poisson(c x) / c with c = 1/std^2 photons for a white pixel."""
    std = options.std

    def count(images: Tensor, generator: Generator) -> Tensor:
        if std == 0:
            return images.clone()
        photons = torch.poisson(images / std**2, generator=generator)
        return photons.mul_(std**2).clamp_(0, 1)

    return count


def build_speckle_noise(options: SpeckleNoiseOptions) -> Corruption:
    """Return x' = x + x std n, n ~ N(0, 1) for each value."""

    def multiply(images: Tensor, generator: Generator) -> Tensor:
        noise = torch.empty_like(images).normal_(0, options.std, generator=generator)
        return noise.add_(1).mul_(images).clamp_(0, 1)

    return multiply
