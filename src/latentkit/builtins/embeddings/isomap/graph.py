"""The undirected graph of nearest neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from latentkit.neighbors.compiled import compiled

Indices = NDArray[np.int32]
Floats = NDArray[np.float32]


class Graph(NamedTuple):
    """Edges, each stored at both of its ends.

    Args:
        starts: (n + 1,), where the edges of each point begin.
        ends: (edges,), the point that an edge leads to.
        lengths: (edges,).
    """

    starts: NDArray[np.int64]
    ends: Indices
    lengths: Floats

    def components(self) -> tuple[int, Indices]:
        """Return the number of connected components, and each point's (n,)."""
        n = len(self.starts) - 1
        ones = np.ones(len(self.ends), np.int8)
        count, labels = connected_components(
            csr_array((ones, self.ends, self.starts), shape=(n, n)), directed=False
        )
        return int(count), labels

    def with_edges(self, sources: NDArray[Any], targets: NDArray[Any], lengths: Floats) -> Graph:
        """Return the graph with further edges."""
        at = np.concatenate([sources, targets])
        to = np.concatenate([targets, sources])
        extra = np.bincount(at, minlength=len(self.starts) - 1)
        return Graph(
            self.starts + np.concatenate([[0], np.cumsum(extra)]),
            np.insert(self.ends, self.starts[at], to).astype(np.int32),
            np.insert(self.lengths, self.starts[at], np.concatenate([lengths, lengths])),
        )


def symmetric_graph(indices: Indices, distances: Floats) -> Graph:
    """Return the graph that joins two points if one is among the ``k`` nearest of the other.

    Args:
        indices: (n, k), nearest neighbours.
        distances: (n, k).
    """
    starts = np.concatenate([[0], np.cumsum(_degrees(indices))])
    ends = np.empty(starts[-1], np.int32)
    lengths = np.empty(starts[-1], np.float32)
    _fill(indices, distances, starts, ends, lengths)
    return Graph(starts, ends, lengths)


@compiled()
def _is_mutual(indices: Indices, i: int, j: int) -> bool:
    for other in indices[j]:  # noqa: SIM110, numba compiles no generators
        if other == i:
            return True
    return False


@compiled()
def _degrees(indices: Indices) -> NDArray[np.int64]:
    n, k = indices.shape
    degrees = np.full(n, k, np.int64)
    for i in range(n):
        for j in indices[i]:
            if not _is_mutual(indices, i, j):
                degrees[j] += 1
    return degrees


@compiled()
def _fill(
    indices: Indices, distances: Floats, starts: NDArray[np.int64], ends: Indices, lengths: Floats
) -> None:
    n, k = indices.shape
    free = starts[:-1] + k
    for i in range(n):
        ends[starts[i] : starts[i] + k] = indices[i]
        lengths[starts[i] : starts[i] + k] = distances[i]
        for neighbor in range(k):
            j = indices[i, neighbor]
            if not _is_mutual(indices, i, j):
                ends[free[j]] = i
                lengths[free[j]] = distances[i, neighbor]
                free[j] += 1
