"""``defocus-blur``: convolution with a disk; beyond the image, its edge is repeated.

The image is interpolated bilinearly between pixels. The effect therefore grows smoothly with the
radius of the disk, and radius 0 has no effect.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import DefocusBlurOptions

_POINTS = 32  # least number of sampling points per pixel, along each side of the disk


def build(options: DefocusBlurOptions) -> Corruption:
    """Return the corruption."""
    kernel = disk(options.radius)
    reach = len(kernel) // 2

    def blur(images: Tensor, generator: Generator) -> Tensor:
        channels = images.shape[1]
        weights = kernel.to(images.device).expand(channels, 1, -1, -1)
        padded = functional.pad(images, (reach,) * 4, mode="replicate")
        return functional.conv2d(padded, weights, groups=channels).clamp_(0, 1)

    return blur


def disk(radius: float) -> Tensor:
    """Return the kernel (K, K) of a disk, float32, with odd K; it sums to 1.

    Args:
        radius: radius of the disk in pixels.
    """
    reach = math.ceil(radius)
    n = 2 * _POINTS * max(reach, 1)
    at = ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1) * radius
    inside = at[:, None].square() + at.square() <= radius**2
    # Each sampling point is between four pixels and adds its bilinear weight to each of them.
    pixels = torch.arange(-reach, reach + 1)
    shares = (1 - (at[:, None] - pixels).abs()).clamp(min=0)
    kernel = shares.T @ inside.double() @ shares
    return (kernel / kernel.sum()).float()
