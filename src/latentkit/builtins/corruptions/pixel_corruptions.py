"""The built-in corruptions: Gaussian noise, salt and pepper, masking, and blur.

``gaussian-noise`` adds std * n, n ~ N(0, 1), to each value. Values beyond [0, 1] are clipped, which
makes the noise on black and white pixels one-sided and smaller than ``std``. Without clipping they
are reflected at 0 and 1, which keeps the noise's strength there. ``masking`` with ``block`` = 1 is
the masking noise of P. Vincent et al., ICML 2008.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from latentkit.builtins.corruptions.options import (
    BlurOptions,
    GaussianNoiseOptions,
    MaskingOptions,
    SaltAndPepperOptions,
)
from latentkit.plugin import Corruption


def gaussian_noise(options: GaussianNoiseOptions) -> Corruption:
    """Build ``gaussian-noise``."""

    def add_noise(images: Tensor, generator: Generator) -> Tensor:
        noise = torch.empty_like(images).normal_(0, 1, generator=generator)
        noisy = noise.mul_(options.std).add_(images)
        return noisy.clamp_(0, 1) if options.clip else _reflect(noisy)

    return add_noise


def _reflect(values: Tensor) -> Tensor:
    """Fold all real numbers onto [0, 1], as if 0 and 1 were mirrors."""
    return 1 - (values.remainder_(2) - 1).abs_()


def salt_and_pepper(options: SaltAndPepperOptions) -> Corruption:
    """Build ``salt-and-pepper``."""

    def hit(images: Tensor, generator: Generator) -> Tensor:
        chance = torch.rand(
            (len(images), 1, *images.shape[2:]), device=images.device, generator=generator
        )
        pepper, salt = chance < options.amount / 2, chance >= 1 - options.amount / 2
        return images.masked_fill(pepper, 0.0).masked_fill_(salt, 1.0)

    return hit


def masking(options: MaskingOptions) -> Corruption:
    """Build ``masking``."""

    def mask(images: Tensor, generator: Generator) -> Tensor:
        height, width = images.shape[2:]
        block = options.block
        grid = (len(images), 1, -(-height // block), -(-width // block))
        chance = torch.rand(grid, device=images.device, generator=generator)
        if block > 1:
            chance = chance.repeat_interleave(block, 2).repeat_interleave(block, 3)
        return images.masked_fill(chance[..., :height, :width] < options.share, 0.0)

    return mask


_REACH = 3.0  # standard deviations at which the kernel is cut off


def gaussian_blur(options: BlurOptions) -> Corruption:
    """Build ``blur``."""
    radius = math.ceil(_REACH * options.sigma)
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (at / options.sigma).square()) if radius else torch.ones(1)
    kernel = (kernel / kernel.sum()).float()

    def blur(images: Tensor, generator: Generator) -> Tensor:
        channels = images.shape[1]
        weights = kernel.to(images.device).expand(channels, 1, -1)
        padded = functional.pad(images, (radius,) * 4, mode="replicate")
        # A Gaussian is separable: two 1-D convolutions cost less than one in 2-D.
        rows = functional.conv2d(padded, weights[..., None], groups=channels)
        return functional.conv2d(rows, weights[:, :, None], groups=channels).clamp_(0, 1)

    return blur
