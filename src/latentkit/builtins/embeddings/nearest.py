"""Nearest neighbours in the form that openTSNE and umap-learn accept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.neighbors import NeighborIndex


def nearest(
    vectors: NDArray[np.floating[Any]],
    k: int,
    queries: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return indices and distances (M, k) of the ``k`` nearest ``vectors``, nearest first.

    Args:
        vectors: (N, D), more than ``k``.
        k: number of neighbours.
        queries: (M, D); None for the vectors themselves. A vector is then not its own neighbour.
    """
    index = NeighborIndex(vectors)
    found = index.neighbors(k) if queries is None else index.query(queries, k)
    return found.indices, found.distances.astype(np.float64)
