"""The connected graph of nearest neighbours, its landmarks, and shortest paths from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex, VectorsError, compiled

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


Disconnected = Literal["bridge", "largest", "error"]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Net:
    """A connected graph of all or some of the vectors.

    Args:
        graph: its points are in the order of ``index.order``, so that neighbours are close
            together in memory.
        index: index of the vectors in the graph.
        nodes: (n,), for each point of the graph, its row among all vectors.
        places: (n,), for each vector of the index, its point in the graph.
        components: number of components of the graph before it was made connected.
        bridges: (bridges,), lengths of the edges that were added to join the components.
        recall: share of the true nearest neighbours that the search found.
    """

    graph: Graph
    index: NeighborIndex
    nodes: Positions
    places: NDArray[np.int32]
    components: int
    bridges: Floats
    recall: float


def connected_graph(
    rows: Floats,
    n_neighbors: int,
    disconnected: Disconnected,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Net:
    """Return the graph of the nearest neighbours of ``rows`` (n, d), made connected.

    If all neighbours of some vector are its copies, the graph has one point for each different
    vector.

    Args:
        rows: (n, d).
        n_neighbors: number of neighbours of each vector.
        disconnected: what to do if the graph is not connected.
        seed: of the search.
        on_progress: called with the vectors whose neighbours are found, and their total.

    Raises:
        VectorsError: there are too few vectors, or too few different ones.
        UserError: the graph is not connected, and ``disconnected`` is ``"error"``.
    """
    kept = np.arange(len(rows))
    _refuse_too_few(len(rows), n_neighbors, "vectors")
    index = NeighborIndex(rows, random_state=seed)
    found = index.neighbors(n_neighbors, on_progress)
    if not found.distances[:, -1].all():
        kept = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        _refuse_too_few(len(kept), n_neighbors, "different vectors")
        index = NeighborIndex(rows[kept], random_state=seed)
        found = index.neighbors(n_neighbors, on_progress)
    graph = _in_order(found.indices, found.distances, index.order)
    count, labels = graph.components()
    bridges = np.empty(0, np.float32)
    if count > 1 and disconnected == "error":
        raise UserError(
            f"the graph of {n_neighbors} nearest neighbours falls into {count:,} components; raise"
            " n_neighbors, or set disconnected to 'bridge' or 'largest'"
        )
    if count > 1 and disconnected == "bridge":
        graph, bridges = _bridge(graph, labels, index)
    if count > 1 and disconnected == "largest":
        largest = np.sort(index.order[labels == np.bincount(labels).argmax()])
        kept = kept[largest]
        # All neighbours of the component's points are in it, so this is the same graph.
        index = NeighborIndex(rows[kept], random_state=seed)
        found = index.neighbors(n_neighbors, on_progress)
        graph = _in_order(found.indices, found.distances, index.order)
    order = index.order
    return Net(graph, index, kept[order], _places(order), count, bridges, found.recall)


_FEWEST = 3  # two neighbours for each


def _refuse_too_few(n: int, n_neighbors: int, what: str) -> None:
    if n < _FEWEST:
        raise VectorsError(
            f"{n} samples are too few for a map, counting {what}: give {_FEWEST} {what} or more"
            f" (the latents of different images are equal if the model learned nothing)"
        )
    if n <= n_neighbors:
        raise VectorsError(
            f"{n} samples are too few for {n_neighbors} neighbours each, counting {what}: set"
            f" n_neighbors to {n - 1} or less, or give more {what}"
        )


def _in_order(indices: NDArray[np.int32], distances: Floats, order: Positions) -> Graph:
    """Return the graph with its points renumbered by their position in ``order``."""
    return symmetric_graph(_places(order)[indices[order]], distances[order])


def _places(order: Positions) -> NDArray[np.int32]:
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _bridge(graph: Graph, labels: NDArray[np.int32], index: NeighborIndex) -> tuple[Graph, Floats]:
    """Join the components by the edges of their minimum spanning tree (O. Borůvka 1926).

    Each round adds the shortest edge out of every component, until one component is left.
    """
    places = _places(index.order)
    added = []
    while (count := int(labels.max()) + 1) > 1:
        own, other, lengths = index.shortest_bridges(labels[places])
        sources, targets = places[own], places[other]
        first = _joining(
            labels[sources], labels[targets], np.argsort(lengths, kind="stable"), count
        )
        graph = graph.with_edges(sources[first], targets[first], lengths[first])
        added.append(lengths[first])
        labels = graph.components()[1]
    return graph, np.concatenate(added)


def _joining(
    a: NDArray[np.int32], b: NDArray[np.int32], order: Positions, count: int
) -> NDArray[np.int64]:
    """Return the edges that, taken in ``order``, join two of ``count`` separate components."""
    parents = list(range(count))  # a union-find forest

    def root(of: int) -> int:
        while parents[of] != of:
            parents[of] = parents[parents[of]]
            of = parents[of]
        return of

    chosen = []
    for edge in order:
        one, other = root(int(a[edge])), root(int(b[edge]))
        if one != other:
            parents[one] = other
            chosen.append(edge)
    return np.array(chosen)


LandmarkChoice = Literal["k-means++", "farthest", "random"]


def choose_landmarks(
    vectors: Floats, count: int, choice: LandmarkChoice, seed: int
) -> NDArray[np.int64]:
    """Return up to ``count`` different rows of ``vectors`` (n, d), in the order they were chosen.

    Args:
        vectors: positions of the points.
        count: number of landmarks; there are fewer if there are fewer different vectors.
        choice: ``"k-means++"`` draws each landmark with a probability proportional to the squared
            distance to its nearest earlier landmark (Arthur and Vassilvitskii 2007);
            ``"farthest"`` takes the point farthest from all earlier ones; ``"random"`` draws
            uniformly.
        seed: seed of the draws and of the first landmark.
    """
    n = len(vectors)
    rng = np.random.default_rng(seed)
    if choice == "random":
        order = rng.permutation(n)
        different = np.unique(vectors[order], axis=0, return_index=True)[1]
        return order[np.sort(different)[:count]]
    chosen = np.empty(count, np.int64)
    chosen[0] = rng.integers(n)
    squares = np.full(n, np.inf, np.float32)
    for i in range(1, count):
        _come_nearer(vectors, vectors[chosen[i - 1]], squares)
        squares[chosen[i - 1]] = 0
        if choice == "farthest":
            chosen[i] = np.argmax(squares)
        else:
            # Leave out the last entry: a draw that is rounded up to the total stays in range.
            mass = np.cumsum(squares, dtype=np.float64)
            chosen[i] = np.searchsorted(mass[:-1], rng.random() * mass[-1], side="right")
        if squares[chosen[i]] == 0:  # only copies of landmarks are left
            return chosen[:i]
    return chosen


@compiled()
def _come_nearer(vectors: Floats, landmark: Floats, squares: Floats) -> None:
    """Update each point's squared distance to its nearest landmark after a new landmark."""
    for i in range(len(vectors)):
        square = np.float32(0)
        for t in range(len(landmark)):
            square += (vectors[i, t] - landmark[t]) ** 2
        squares[i] = min(squares[i], square)


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
