"""``gaussian-noise``: x + std * n, n ~ N(0, 1) for each value.

Values beyond [0, 1] are clipped, which makes the noise on black and white pixels one-sided and
smaller than ``std``. Without clipping they are reflected at 0 and 1, which keeps the noise's
strength there.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.builtins.corruptions.options import GaussianNoiseOptions
from latentkit.plugin import Corruption


def build(options: GaussianNoiseOptions) -> Corruption:
    """Build ``gaussian-noise``."""

    def add_noise(images: Tensor, generator: Generator) -> Tensor:
        noise = torch.empty_like(images).normal_(0, 1, generator=generator)
        noisy = noise.mul_(options.std).add_(images)
        return noisy.clamp_(0, 1) if options.clip else _reflect(noisy)

    return add_noise


def _reflect(values: Tensor) -> Tensor:
    """Fold all real numbers onto [0, 1], as if 0 and 1 were mirrors."""
    return 1 - (values.remainder_(2) - 1).abs_()
