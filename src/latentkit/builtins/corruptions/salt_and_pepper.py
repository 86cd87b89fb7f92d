"""``salt-and-pepper``: random pixels become black, and on average as many become white.

All channels of a pixel change together.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.builtins.corruptions.options import SaltAndPepperOptions
from latentkit.plugin import Corruption


def build(options: SaltAndPepperOptions) -> Corruption:
    """Build ``salt-and-pepper``."""

    def hit(images: Tensor, generator: Generator) -> Tensor:
        chance = torch.rand(
            (len(images), 1, *images.shape[2:]), device=images.device, generator=generator
        )
        pepper, salt = chance < options.amount / 2, chance >= 1 - options.amount / 2
        return images.masked_fill(pepper, 0.0).masked_fill_(salt, 1.0)

    return hit
