"""``defocus-blur``: convolution with a disk; the edge is repeated beyond the image.

Between pixels the image is taken as bilinear, so that a disk of any radius has an effect that
grows with it, and one of radius 0 has none.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import DefocusBlurOptions

_POINTS = 32  # in the width of a pixel, and in the disk at least


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
    """Return the kernel (K, K) of a disk, float32, K odd; it sums to 1.

    Args:
        radius: in pixels.
    """
    reach = math.ceil(radius)
    n = 2 * _POINTS * max(reach, 1)
    at = ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1) * radius
    inside = at[:, None].square() + at.square() <= radius**2
    # Each point of the disk lies between four pixels and gives to each its bilinear share.
    pixels = torch.arange(-reach, reach + 1)
    shares = (1 - (at[:, None] - pixels).abs()).clamp(min=0)
    kernel = shares.T @ inside.double() @ shares
    return (kernel / kernel.sum()).float()
