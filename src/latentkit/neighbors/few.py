"""Brute-force search for few points, because compiling the search takes seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentkit.neighbors.blocks import Floats, Integers

MOST_WORK = 1e8
"""Brute force is used up to this many multiplications, which take a fraction of a second."""
MOST_POINTS = 2_048
_CHUNK = 256  # queries compared at once, to limit the memory


def nearest_of_few(
    points: Floats, queries: Floats, own: Integers, k: int
) -> tuple[NDArray[np.int32], Floats]:
    """Return the nearest points of each query and their squared distances, (m, k) each.

    Sums are taken in the order of the compiled search, so distances are the same to the last bit.
    Of equally distant points, the one with the lower index comes first.

    Args:
        points: (n, d).
        queries: (m, d).
        own: (m,), the index of the point that a query must not find, or -1.
        k: number of neighbours.
    """
    indices = np.empty((len(queries), k), np.int32)
    squares = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), _CHUNK):
        asked = queries[start : start + _CHUNK]
        away = np.zeros((len(asked), len(points)), np.float32)
        for t in range(points.shape[1]):
            away += np.square(asked[:, t, None] - points[:, t])
        barred = own[start : start + _CHUNK]
        rows = np.flatnonzero(barred >= 0)
        away[rows, barred[rows]] = np.inf
        order = np.argsort(away, axis=1, kind="stable")[:, :k]
        indices[start : start + _CHUNK] = order
        squares[start : start + _CHUNK] = np.take_along_axis(away, order, axis=1)
    return indices, squares
