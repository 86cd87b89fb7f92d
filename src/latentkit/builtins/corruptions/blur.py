"""``blur``: convolution with a Gaussian. Beyond the image its edge pixels are repeated."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from latentkit.builtins.corruptions.options import BlurOptions
from latentkit.plugin import Corruption

_REACH = 3.0  # standard deviations at which the kernel is cut off


def build(options: BlurOptions) -> Corruption:
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
