"""Nearest neighbours of vectors: exact, compiled, on all cores, repeatable.

    from latentkit.neighbors import NeighborIndex

    index = NeighborIndex(vectors)           # (n, d)
    found = index.neighbors(10)              # found.indices, found.distances: (n, 10)
    found = index.query(new_vectors, 10)     # the nearest of ``vectors`` to each

The search partitions the points into blocks (`latentkit.neighbors.blocks`). It skips the blocks
that the triangle inequality rules out, and compares a query with all points of each other block at
once (`latentkit.neighbors.search`). Vectors of many dimensions are first compared by their
leading principal components (`latentkit.neighbors.shadows`).
"""

from typing import TYPE_CHECKING

from latentkit._lazy import lazy_attributes

if TYPE_CHECKING:
    from latentkit.neighbors.index import NeighborIndex, Neighbors
    from latentkit.neighbors.vectors import VectorsError, as_vectors

__all__ = ["NeighborIndex", "Neighbors", "VectorsError", "as_vectors"]

_HOMES = {
    "NeighborIndex": "index",
    "Neighbors": "index",
    "VectorsError": "vectors",
    "as_vectors": "vectors",
}
__getattr__, __dir__ = lazy_attributes(
    __name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}
)
