"""A named stream of random numbers for each purpose, all from the run's one seed.

A stream depends only on the seed and on its own name, never on numbers drawn elsewhere. A draw
added in one place therefore changes nothing in another, and a resumed run needs no saved random
state.
"""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, *name: str | int) -> int:
    """Return the seed of the stream ``name``, from 0 to 2**63 - 1, derived with SHA-256.

    Args:
        seed: the run's seed.
        name: purpose of the numbers, e.g. ``"shuffle", 3`` for the order of epoch 3.
    """
    text = "/".join(map(str, (seed, *name)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def short_stream_seed(seed: int, *name: str | int) -> int:
    """Return `stream_seed` cut to 32 bits, for NumPy's legacy generator and scikit-learn."""
    return stream_seed(seed, *name) & 0xFFFFFFFF
