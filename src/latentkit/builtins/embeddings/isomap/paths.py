"""Shortest paths from a few points of a graph to all others: Dijkstra's algorithm, on all cores."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.embeddings.isomap.graph import Floats, Graph, Indices
from latentkit.neighbors.compiled import compiled

_BATCH = 32
_FEW = 300_000  # up to this many lengths, numpy is faster than compiling a loop
_ARITY = 4  # children of each node of the heap


def shortest_paths(
    graph: Graph, sources: NDArray[np.int64], report: Callable[[int], None]
) -> Floats:
    """Return the lengths (sources, n) of the shortest paths, infinite between components.

    Args:
        graph: graph with lengths of 0 or more.
        sources: points to start from.
        report: called from time to time with the number of sources that are done.
    """
    n = len(graph.starts) - 1
    if len(sources) * n <= _FEW:
        few = _few_paths(graph, sources)
        report(len(sources))
        return few
    lengths = np.empty((len(sources), n), np.float32)
    for start in range(0, len(sources), _BATCH):
        stop = min(start + _BATCH, len(sources))
        _run(graph, sources[start:stop], lengths[start:stop], numba.get_num_threads())
        report(stop)
    return lengths


def _few_paths(graph: Graph, sources: NDArray[np.int64]) -> Floats:
    """Relax all edges at once until nothing changes (R. Bellman 1958).

    Lengths are summed in float32 from the source on, as in Dijkstra's algorithm below. So the
    results are equal to the last bit, and no detour through another point is shorter.
    """
    lengths = np.full((len(sources), len(graph.starts) - 1), np.inf, np.float32)
    lengths[np.arange(len(sources)), sources] = 0
    while True:
        through = lengths[:, graph.ends] + graph.lengths
        shorter = np.minimum(lengths, np.minimum.reduceat(through, graph.starts[:-1], axis=1))
        if np.array_equal(shorter, lengths):
            return lengths
        lengths = shorter


@compiled(parallel=True)
def _run(graph: Graph, sources: NDArray[np.int64], lengths: Floats, workers: int) -> None:
    n = lengths.shape[1]
    for worker in numba.prange(workers):
        nodes = np.empty(n, np.int32)
        keys = np.empty(n, np.float32)
        places = np.empty(n, np.int32)
        for i in range(worker, len(sources), workers):
            _dijkstra(graph, sources[i], lengths[i], nodes, keys, places)


@compiled()
def _dijkstra(
    graph: Graph, source: int, lengths: Floats, nodes: Indices, keys: Floats, places: Indices
) -> None:
    """Fill in ``lengths`` (n,), the lengths of the shortest paths from ``source``.

    ``nodes`` and ``keys`` (n,) are memory for a heap of nodes by length, ``places`` (n,) for the
    position of each node in it. -1 is a node that was never in the heap.
    """
    lengths[:] = np.inf
    places[:] = -1
    lengths[source] = 0
    nodes[0], keys[0], places[source] = source, 0, 0
    size = 1
    while size > 0:
        node, length = nodes[0], keys[0]
        size -= 1
        if size > 0:
            _sink(nodes, keys, places, size, nodes[size], keys[size])
        for edge in range(graph.starts[node], graph.starts[node + 1]):
            end = graph.ends[edge]
            through = length + graph.lengths[edge]
            if through < lengths[end]:
                lengths[end] = through
                # A node that is in the heap already moves up, so the heap never exceeds n.
                place = places[end]
                if place < 0:
                    place = size
                    size += 1
                _rise(nodes, keys, places, place, end, through)


@compiled()
def _rise(
    nodes: Indices, keys: Floats, places: Indices, place: int, node: int, key: np.float32
) -> None:
    """Put a node into the heap: start at ``place`` and move it towards the root."""
    while place > 0:
        parent = (place - 1) // _ARITY
        if keys[parent] <= key:
            break
        nodes[place], keys[place] = nodes[parent], keys[parent]
        places[nodes[place]] = place
        place = parent
    nodes[place], keys[place], places[node] = node, key, place


@compiled()
def _sink(
    nodes: Indices, keys: Floats, places: Indices, size: int, node: int, key: np.float32
) -> None:
    """Put a node into a heap of ``size``: start at the root and move it down."""
    place = 0
    while True:
        child = _ARITY * place + 1
        if child >= size:
            break
        for other in range(child + 1, min(child + _ARITY, size)):
            if keys[other] < keys[child]:
                child = other
        if keys[child] >= key:
            break
        nodes[place], keys[place] = nodes[child], keys[child]
        places[nodes[place]] = place
        place = child
    nodes[place], keys[place], places[node] = node, key, place
