"""Compiled search for the nearest points in blocks."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from latentkit.neighbors.blocks import Blocks, Floats, Integers
from latentkit.neighbors.compiled import compiled

_RELATIVE = np.float32(1 + 1e-5)


class Queries(NamedTuple):
    """Query points, in batches of nearby points.

    Args:
        shadows: (m, p), the queries as the blocks hold points: projected, or in full.
        rows: (m, d), the queries in full; (m, 0) if the blocks hold the points in full.
        own: (m,), the index of the point that a query must not find, or -1.
        starts: (batches + 1,), where each batch begins.
        homes: (batches,), the block in or near which a batch is.
    """

    shadows: Floats
    rows: Floats
    own: Integers
    starts: Integers
    homes: Integers


@compiled(parallel=True)
def search(
    blocks: Blocks,
    rows: Floats,
    queries: Queries,
    limit: int,
    slack: float,
    indices: NDArray[np.int32],
    squares: Floats,
) -> Integers:
    """Write the nearest points of each query, nearest first, to ``indices`` and ``squares``.

    Args:
        blocks: the points, or their projections, in blocks.
        rows: (n, d), the points in full; (n, 0) if the blocks hold the points in full.
        queries: the query points.
        limit: number of blocks that a batch visits at most.
        slack: how much rounding may have added to a distance between projections.
        indices: (m, k), filled with indices of points.
        squares: (m, k), filled with squared distances.

    Returns:
        (batches,), the number of multiplications of each batch.
    """
    work = np.empty(len(queries.homes), np.int64)
    for batch in numba.prange(len(work)):
        first, last = queries.starts[batch], queries.starts[batch + 1]
        work[batch] = _search_batch(
            blocks,
            rows,
            blocks.centers[queries.homes[batch]],
            queries.shadows[first:last],
            queries.rows[first:last],
            queries.own[first:last],
            limit,
            np.float32(slack),
            indices[first:last],
            squares[first:last],
        )
    return work


@compiled()
def _search_batch(
    blocks: Blocks,
    rows: Floats,
    home: Floats,
    shadows: Floats,
    query_rows: Floats,
    own: Integers,
    limit: int,
    slack: np.float32,
    indices: NDArray[np.int32],
    squares: Floats,
) -> int:
    m, p = shadows.shape
    last = squares.shape[1] - 1
    as_columns = np.empty((p, m), np.float32)
    gaps = np.empty(len(blocks.radii), np.float32)
    order = np.empty(len(blocks.radii), np.int64)
    to_center = np.empty(m, np.float32)
    found = np.empty(blocks.columns.shape[2], np.float32)
    # All queries of the batch are within ``radius`` of the centre of the home block.
    radius = np.float32(0)
    for i in range(m):
        radius = max(radius, np.sqrt(_squared_distance(home, shadows[i])))
        for t in range(p):
            as_columns[t, i] = shadows[i, t]
        for place in range(last + 1):
            squares[i, place] = np.inf
            indices[i, place] = -1
    for block in range(len(gaps)):
        gaps[block] = np.sqrt(_squared_distance(home, blocks.centers[block]))
        order[block] = block
    # Visit near blocks first: a short reach, found early, rules out the blocks that follow.
    _sort(order, gaps)
    reach = np.float32(np.inf)
    visits = work = 0
    for rank in range(len(order)):
        block = int(order[rank])
        # By the triangle inequality, no point of the block is in reach of any query.
        if gaps[block] - radius - blocks.radii[block] > (reach + slack) * _RELATIVE:
            continue
        if visits == limit:
            break
        _compare(blocks.centers[block], as_columns, to_center)
        visited = False
        for i in range(m):
            far = np.sqrt(squares[i, last])
            bound = (far + blocks.radii[block] + slack) * _RELATIVE
            if to_center[i] >= bound * bound:  # no point is in reach of this query
                continue
            visited = True
            _compare(shadows[i], blocks.columns[block], found)
            # Projections rule most points out; only the others are compared in full.
            cut = (far + slack) * (far + slack)
            compared = _keep_nearest(
                blocks, block, rows, query_rows[i], own[i], found, cut, indices[i], squares[i]
            )
            work += found.size * p + compared * rows.shape[1]
        if visited:
            visits += 1
            reach = np.float32(0)
            for i in range(m):
                reach = max(reach, np.sqrt(squares[i, last]))
    return work


@compiled()
def _sort(order: Integers, keys: Floats) -> None:
    """Sort ``order`` by ``keys[order]``, by heap sort: numba's sort takes seconds to compile."""
    size = len(order)
    for start in range(size // 2 - 1, -1, -1):
        _sink(order, keys, start, size)
    for end in range(size - 1, 0, -1):
        order[0], order[end] = order[end], order[0]
        _sink(order, keys, 0, end)


@compiled()
def _sink(order: Integers, keys: Floats, place: int, size: int) -> None:
    item = order[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[order[child + 1]] > keys[order[child]]:
            child += 1
        if keys[order[child]] <= keys[item]:
            break
        order[place] = order[child]
        place = child
    order[place] = item


@compiled()
def _compare(point: Floats, columns: Floats, squares: Floats) -> None:
    """Write the squared distances from ``point`` (p,) to the columns (p, width)."""
    for j in range(len(squares)):
        squares[j] = 0
    for t in range(len(point)):
        value = point[t]
        column = columns[t]
        for j in range(len(squares)):
            squares[j] += (column[j] - value) * (column[j] - value)


@compiled()
def _keep_nearest(
    blocks: Blocks,
    block: int,
    rows: Floats,
    query: Floats,
    own: int,
    found: Floats,
    cut: np.float32,
    indices: NDArray[np.int32],
    squares: Floats,
) -> int:
    """Insert the points of a block whose ``found`` is below ``cut``; return their number."""
    near = 0
    for j in range(len(found)):
        near += found[j] < cut
    if near == 0:
        return 0
    start = blocks.starts[block]
    last = len(squares) - 1
    for j in range(blocks.starts[block + 1] - start):
        if not found[j] < cut:
            continue
        name = blocks.order[start + j]
        square = _squared_distance(query, rows[name]) if len(query) else found[j]
        if name == own or square >= squares[last]:
            continue
        place = last
        while place > 0 and squares[place - 1] > square:
            squares[place] = squares[place - 1]
            indices[place] = indices[place - 1]
            place -= 1
        squares[place] = square
        indices[place] = name
    return near


@compiled()
def _squared_distance(a: Floats, b: Floats) -> np.float32:
    total = np.float32(0)
    for t in range(len(a)):
        total += (a[t] - b[t]) * (a[t] - b[t])
    return total


@compiled(parallel=True)
def nearest_blocks(points: Floats, centers: Floats) -> Integers:
    """Return the block (m,) whose centre is nearest to each point (m, p)."""
    nearest = np.empty(len(points), np.int64)
    for i in numba.prange(len(points)):
        least = np.float32(np.inf)
        nearest[i] = 0
        for block in range(len(centers)):
            square = _squared_distance(points[i], centers[block])
            if square < least:
                least = square
                nearest[i] = block
    return nearest
