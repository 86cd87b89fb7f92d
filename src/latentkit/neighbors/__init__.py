"""Nearest neighbours of vectors: exact, compiled, on all cores, repeatable.

    from latentkit.neighbors import NeighborIndex

    index = NeighborIndex(vectors)           # (n, d)
    found = index.neighbors(10)              # found.indices, found.distances: (n, 10)
    found = index.query(new_vectors, 10)     # the nearest of ``vectors`` to each

The search (`latentkit.neighbors.search`) partitions the points into blocks. It skips the blocks
that the triangle inequality rules out, and compares a query with all points of each other block at
once. Vectors of many dimensions are first compared by their leading principal components.

`compiled` is the decorator that compiles the functions of this package with numba. Embeddings that
loop over neighbours may use it too.
"""

from typing import TYPE_CHECKING

from latentkit._lazy import lazy_attributes

if TYPE_CHECKING:
    from latentkit.neighbors.index import NeighborIndex, Neighbors, VectorsError, as_vectors
    from latentkit.neighbors.search import compiled

__all__ = ["NeighborIndex", "Neighbors", "VectorsError", "as_vectors", "compiled"]

_HOMES = {**dict.fromkeys(__all__, f"{__name__}.index"), "compiled": f"{__name__}.search"}
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
