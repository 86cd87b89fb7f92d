"""``masking``: random squares of the image become black.

With ``block`` = 1 this is the masking noise of P. Vincent et al., ICML 2008.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from latentkit.builtins.corruptions.options import MaskingOptions
from latentkit.plugin import Corruption


def build(options: MaskingOptions) -> Corruption:
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
