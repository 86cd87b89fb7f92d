"""One seed for a run, and a named stream of random numbers for each purpose.

A stream depends on the seed and on its own name only, never on what was drawn elsewhere: adding
a draw in one place changes nothing in another, and a resumed run needs no saved random state.
"""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, *name: str | int) -> int:
    """Return the seed of the stream ``name``: 0 to 2**63 - 1, from SHA-256.

    Args:
        seed: the run's seed.
        name: what the numbers are for, e.g. ``"shuffle", 3`` for the order of epoch 3.
    """
    text = "/".join(map(str, (seed, *name)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def short_stream_seed(seed: int, *name: str | int) -> int:
    """Return `stream_seed` cut to 32 bits, as NumPy's legacy generator and scikit-learn take."""
    return stream_seed(seed, *name) & 0xFFFFFFFF
