"""The undirected graph of nearest neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.int32]
Floats = NDArray[np.float32]


class Graph(NamedTuple):
    """An undirected graph. Each edge is stored at both of its ends.

    Args:
        starts: (n + 1,), position of each point's first edge.
        ends: (edges,), the point that each edge leads to.
        lengths: (edges,), length of each edge.
    """

    starts: NDArray[np.int64]
    ends: Indices
    lengths: Floats

    def components(self) -> tuple[int, Indices]:
        """Return the number of connected components, and the component (n,) of each point."""
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
    n, k = indices.shape
    at = np.repeat(np.arange(n), k)
    to = indices.ravel().astype(np.int64)
    edges, first = np.unique(
        np.concatenate([at * n + to, to * n + at]), return_index=True
    )  # if both ends name an edge, each end still stores it once
    starts = np.searchsorted(edges, np.arange(n + 1) * n)
    lengths = np.tile(distances.ravel(), 2)[first]
    return Graph(starts, (edges % n).astype(np.int32), lengths)
