"""A named stream of random numbers for each purpose, all from the run's one seed.

A stream depends only on the seed and on its own name, never on numbers drawn elsewhere. A draw
added in one place therefore changes nothing in another, and a resumed run needs no saved random
state.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy takes time, and seeds alone do not need it
    import numpy as np
    from numpy.typing import NDArray


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


def draw_rows(n: int, labels: NDArray[Any] | None, total: int, seed: int) -> NDArray[np.int64]:
    """Draw ``total`` of ``n`` rows so that every class keeps its share as well as it can.

    Each class gives its exact quota rounded down; the classes with the largest remainders give one
    row more, until the total is right (Hamilton's method). Classes of a single row and more classes
    than rows to draw are possible.

    Args:
        n: number of rows.
        labels: int, shape (n,), or None for a draw that is not stratified.
        total: how many rows to draw, from 0 to ``n``.
        seed: the same seed gives the same rows.

    Returns:
        Ascending row numbers, int64 (total,).
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    if labels is None:
        groups = [np.arange(n)]
    else:
        order = np.argsort(labels, kind="stable")
        starts = np.flatnonzero(np.diff(labels[order])) + 1
        groups = np.split(order, starts)
    sizes = np.array([len(group) for group in groups])
    exact = sizes * (total / sizes.sum())
    quotas = np.floor(exact).astype(np.int64)
    short = total - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:short]] += 1
    drawn = [
        generator.permutation(group)[:quota] for group, quota in zip(groups, quotas, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
