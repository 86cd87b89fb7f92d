"""``brightness`` and ``contrast``."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.plugin import Corruption
from latentkit_common_corruptions.options import BrightnessOptions, ContrastOptions


def build_brightness(options: BrightnessOptions) -> Corruption:
    """Return the corruption: V' = min(V + amount, 1) in the colour space HSV.

    V is the largest channel; the others keep their ratio to it. Grey images become x + amount.
    """

    def brighten(images: Tensor, generator: Generator) -> Tensor:
        value = images.amax(1, keepdim=True)
        brighter = (value + options.amount).clamp_(max=1)
        # A black pixel has no hue, so it becomes grey.
        shares = torch.where(value > 0, images / value, 1.0)
        return shares.mul_(brighter).clamp_(0, 1)

    return brighten


def build_contrast(options: ContrastOptions) -> Corruption:
    """Return the corruption: x' = m + (1 - amount)(x - m) with the mean m of the channel."""

    def flatten(images: Tensor, generator: Generator) -> Tensor:
        means = images.mean((2, 3), keepdim=True)
        return torch.lerp(images, means.expand_as(images), options.amount).clamp_(0, 1)

    return flatten
