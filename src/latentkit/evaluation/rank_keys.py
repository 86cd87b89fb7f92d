"""What of a distance is compared with others; see `latentkit.evaluation.ranks`."""

from __future__ import annotations

import numpy as np

INDEX_BITS = 20
"""Bits below those that are sorted by; they hold the index, which is in order to begin with."""


def index_mask(n: int) -> np.uint64:
    """Return the bits of a key that hold the index of one of n."""
    return np.uint64((1 << max(INDEX_BITS, (n - 1).bit_length())) - 1)
