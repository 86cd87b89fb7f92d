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
    degrees = np.full(len(indices), indices.shape[1], np.int64)
    _count_reverse_edges(indices, degrees)
    starts = np.concatenate([[0], np.cumsum(degrees)])
    ends = np.empty(starts[-1], np.int32)
    lengths = np.empty(starts[-1], np.float32)
    free = starts[:-1] + indices.shape[1]
    _fill(indices, distances, starts, free, ends, lengths)
    return Graph(starts, ends, lengths)


@compiled()
def _is_mutual(indices: Indices, i: int, j: int) -> bool:
    for other in indices[j]:  # noqa: SIM110, numba compiles no generators
        if other == i:
            return True
    return False


@compiled()
def _count_reverse_edges(indices: Indices, degrees: NDArray[np.int64]) -> None:
    for i in range(len(indices)):
        for j in indices[i]:
            if not _is_mutual(indices, i, j):
                degrees[j] += 1


@compiled()
def _fill(
    indices: Indices,
    distances: Floats,
    starts: NDArray[np.int64],
    free: NDArray[np.int64],
    ends: Indices,
    lengths: Floats,
) -> None:
    """Store each edge at both ends; ``free`` says where the next reverse edge of a point goes."""
    n, k = indices.shape
    for i in range(n):
        for neighbor in range(k):
            j = indices[i, neighbor]
            ends[starts[i] + neighbor] = j
            lengths[starts[i] + neighbor] = distances[i, neighbor]
            if not _is_mutual(indices, i, j):
                ends[free[j]] = i
                lengths[free[j]] = distances[i, neighbor]
                free[j] += 1
