"""``gaussian-noise``: x + std * n, n ~ N(0, 1) for each value, clipped to [0, 1].

Clipping makes the noise on black and white pixels one-sided and smaller than ``std``.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.builtins.corruptions.options import GaussianNoiseOptions
from latentkit.plugin import Corruption


def build(options: GaussianNoiseOptions) -> Corruption:
    """Return the corruption."""

    def add_noise(images: Tensor, generator: Generator) -> Tensor:
        noise = torch.empty_like(images).normal_(0, 1, generator=generator)
        return noise.mul_(options.std).add_(images).clamp_(0, 1)

    return add_noise
