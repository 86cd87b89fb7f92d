"""Nearest neighbours of vectors: exact, compiled, on all cores, repeatable.

    from latentkit.neighbors import NeighborIndex

    index = NeighborIndex(vectors)           # (n, d)
    found = index.neighbors(10)              # found.indices, found.distances: (n, 10)
    found = index.query(new_vectors, 10)     # the nearest of ``vectors`` to each
    found.recall                             # 1, unless an exact search would take too long

Plugins may import every name in ``__all__`` from here. The modules below this package may change.

- `NeighborIndex` finds neighbours, and the shortest bridges between groups of points.
- `Neighbors` is what it returns.
- `as_vectors` checks vectors and makes them a float32 matrix; `VectorsError` says what is wrong
  with them.
- `compiled` is the decorator that compiles the functions of this package with numba.

The search partitions the points into blocks. It skips the blocks that the triangle inequality rules
out, and compares a query with all points of each other block at once. Vectors of many dimensions
are first compared by their leading principal components.
"""

from typing import TYPE_CHECKING

from latentkit._lazy import lazy_attributes

if TYPE_CHECKING:
    from latentkit.neighbors.blocks import compiled
    from latentkit.neighbors.index import NeighborIndex, Neighbors, VectorsError, as_vectors

__all__ = ["NeighborIndex", "Neighbors", "VectorsError", "as_vectors", "compiled"]

_HOMES = {**dict.fromkeys(__all__, f"{__name__}.index"), "compiled": f"{__name__}.blocks"}
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
