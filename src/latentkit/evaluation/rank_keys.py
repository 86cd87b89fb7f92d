"""Bits of the keys that order distances; see `latentkit.evaluation.ranks`."""

from __future__ import annotations

import numpy as np

INDEX_BITS = 20
"""Lowest bits of a key, which hold the index. They need no sorting: indices start in order."""


def index_mask(n: int) -> np.uint64:
    """Return a mask of the bits of a key that hold an index below n."""
    return np.uint64((1 << max(INDEX_BITS, (n - 1).bit_length())) - 1)
