"""``motion-blur``: each pixel is a weighted mean along a line that starts at it.

The weights are one half of a Gaussian, and points of the line are rounded to the nearest pixel, as
in ImageMagick's motion blur, which the published benchmarks call. Because the trail is on one side
only, it also shifts the image: by the mean of the weights, 0.8 sigma if the trail is not cut off.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import MotionBlurOptions

_LEAST = 1e-5  # weight relative to the first, below which a step changes no 8-bit pixel


def build(options: MotionBlurOptions) -> Corruption:
    """Return the corruption; each image has a different direction."""
    weights = _trail(options.sigma, options.radius)
    most = math.radians(options.max_angle)

    def blur(images: Tensor, generator: Generator) -> Tensor:
        n, channels, height, width = images.shape
        device = images.device
        angles = (torch.rand(n, 1, 1, device=device, generator=generator) * 2 - 1) * most
        sine, cosine = angles.sin(), angles.cos()
        rows = torch.arange(height, device=device)[:, None]
        columns = torch.arange(width, device=device)
        pixels = images.reshape(n, channels, -1)
        blurred = pixels * weights[0]
        for step, weight in enumerate(weights[1:], 1):
            row = (rows + (step * sine).round().long()).clamp_(0, height - 1)
            column = (columns + (step * cosine).round().long()).clamp_(0, width - 1)
            there = (row * width + column).view(n, 1, -1).expand(-1, channels, -1)
            blurred.add_(pixels.gather(2, there), alpha=weight)
        return blurred.view(images.shape).clamp_(0, 1)

    return blur


def _trail(sigma: float, radius: int) -> list[float]:
    """Return the weights of the pixel itself and of the pixels after it; they sum to 1."""
    if sigma == 0:
        return [1.0]
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(2 * radius + 1)]
    weights = [weight for weight in weights if weight >= _LEAST]
    return [weight / sum(weights) for weight in weights]
