"""A connected graph of nearest neighbours, also for copies and for separate clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.embeddings.isomap.graph import Floats, Graph, symmetric_graph
from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex, VectorsError

Disconnected = Literal["bridge", "largest", "error"]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Net:
    """A connected graph of all or some of the vectors.

    Args:
        graph: its points are in the order of ``index.blocks``, so that neighbours are close
            together in memory.
        index: index of the vectors in the graph.
        nodes: (n,), the row of each point of the graph.
        places: (n,), the point of the graph for each vector of the index.
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


def connected_graph(rows: Floats, n_neighbors: int, disconnected: Disconnected, seed: int) -> Net:
    """Return the graph of the nearest neighbours of ``rows`` (n, d), made connected.

    If all neighbours of some vector are its copies, the graph has one point for each different
    vector.

    Raises:
        VectorsError: there are too few vectors, or too few different ones.
        UserError: the graph is not connected, and ``disconnected`` is ``"error"``.
    """
    kept = np.arange(len(rows))
    _refuse_too_few(len(rows), n_neighbors, "vectors")
    index = NeighborIndex(rows, random_state=seed)
    found = index.neighbors(n_neighbors)
    if not found.distances[:, -1].all():
        kept = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        _refuse_too_few(len(kept), n_neighbors, "different vectors")
        index = NeighborIndex(rows[kept], random_state=seed)
        found = index.neighbors(n_neighbors)
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
        found = index.neighbors(n_neighbors)
        graph = _in_order(found.indices, found.distances, index.order)
    order = index.order
    return Net(graph, index, kept[order], _places(order), count, bridges, found.recall)


def _refuse_too_few(n: int, n_neighbors: int, what: str) -> None:
    if n <= n_neighbors:
        raise VectorsError(
            f"{n} samples are too few for {n_neighbors} neighbours each, counting {what}: set"
            f" n_neighbors to {max(n - 1, 2)} or less, or give more {what}"
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
        own, other, lengths = index.shortest_exits(labels[places])
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
