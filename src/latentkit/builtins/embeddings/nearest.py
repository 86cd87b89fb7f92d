"""Nearest neighbours, exact, in Euclidean distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

_TREE_DIMENSIONS = 20  # above, a tree looks at nearly every point


def nearest(
    vectors: NDArray[np.floating[Any]],
    k: int,
    queries: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return indices and distances (M, k) of the ``k`` nearest ``vectors``, nearest first.

    Args:
        vectors: (N, D), more than ``k``.
        k: how many.
        queries: (M, D); None for the vectors themselves, each of which is then no neighbour of
            its own.
    """
    algorithm = "kd_tree" if vectors.shape[1] <= _TREE_DIMENSIONS else "brute"
    index = NearestNeighbors(n_neighbors=k, algorithm=algorithm, n_jobs=-1).fit(vectors)
    distances, indices = index.kneighbors(queries)
    return indices.astype(np.int32), np.asarray(distances, np.float64)
