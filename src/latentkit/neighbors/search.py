"""Exact nearest neighbours by a compiled search over blocks of nearby points.

Blocks that the triangle inequality rules out are skipped. If the blocks hold projections, a product
of matrices compares many queries with a block, and only points that may be near are compared in
full. The product rounds, but only the comparison in full decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from latentkit.neighbors.blocks import Blocks, Floats, Integers, compiled, squared_distance

_RELATIVE = np.float32(1 + 1e-5)
_FEW_QUERIES = 16
"""Fewer queries are compared with a block one by one, and not by a product of matrices."""
_ROUNDING = 2.0**-22
"""Rounding error of a squared distance that is found by a product, for each dimension and relative
to the squared lengths; four times what each operation may round."""
_ROUGH = np.float32(0.1)
LANES = 64
"""Number of sums in which the search adds up a distance of vectors in full, see `_in_full`."""


class Queries(NamedTuple):
    """Query points, in batches of nearby points.

    Args:
        projections: (m, p), the queries as the blocks hold points: projected, or in full.
        rows: (m, d), the queries in full; (m, 0) if the blocks hold the points in full.
        own: (m,), the label of the points that a query must not find, or -1.
        starts: (batches + 1,), where each batch begins.
        homes: (batches,), the block in or near which a batch is.
    """

    projections: Floats
    rows: Floats
    own: Integers
    starts: Integers
    homes: Integers


class Labels(NamedTuple):
    """A label of each point. A query does not find points of its own label.

    Args:
        of_points: (n,), 0 or more.
        of_blocks: (blocks,), the label that all points of a block share, or -2.
    """

    of_points: Integers
    of_blocks: Integers


def label_points(blocks: Blocks, labels: Integers) -> Labels:
    """Return labels (n,) of the points together with those of their blocks."""
    in_order = labels[blocks.order]
    least = np.minimum.reduceat(in_order, blocks.starts[:-1])
    most = np.maximum.reduceat(in_order, blocks.starts[:-1])
    return Labels(labels, np.where(least == most, least, -2))


@compiled()
def search(
    blocks: Blocks,
    rows: Floats,
    labels: Labels,
    queries: Queries,
    limit: int,
    slack: float,
    indices: NDArray[np.int32],
    squares: Floats,
) -> int:
    """Write the nearest points of each query, nearest first, to ``indices`` and ``squares``.

    Args:
        blocks: the points, or their projections, in blocks.
        rows: (n, d), the points in full; (n, 0) if the blocks hold the points in full.
        labels: labels of the points.
        queries: the query points.
        limit: largest number of blocks that a batch visits.
        slack: how much rounding may have added to a distance between projections.
        indices: (m, k), replaced with the indices of the points that are found.
        squares: (m, k), replaced with their squared distances. Before that, infinity, or squares in
            ascending order that a point must be below to be found.

    Returns:
        The number of multiplications.
    """
    work = 0
    for batch in range(len(queries.homes)):
        first, last = queries.starts[batch], queries.starts[batch + 1]
        work += _search_batch(
            blocks,
            rows,
            labels,
            blocks.centers[queries.homes[batch]],
            queries.projections[first:last],
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
    labels: Labels,
    home: Floats,
    projections: Floats,
    query_rows: Floats,
    own: Integers,
    limit: int,
    slack: np.float32,
    indices: NDArray[np.int32],
    squares: Floats,
) -> int:
    m, p = projections.shape
    as_columns = np.ascontiguousarray(projections.T)
    lengths, to_center = np.empty(m, np.float32), np.empty(m, np.float32)
    found = np.empty((m, blocks.columns.shape[2]), np.float32)
    asked, sums = np.empty(m, np.int64), np.empty(LANES, np.float32)
    rounding = np.float32(p * _ROUNDING)
    _compare(np.zeros(p, np.float32), as_columns, lengths)
    # All queries of the batch are within ``radius`` of the centre of the home block.
    _compare(home, as_columns, to_center)
    radius, reach = np.sqrt(_largest(to_center)), np.sqrt(_largest(squares[:, -1]))
    # Visit near blocks first: a short reach, found early, rules out the blocks that follow.
    gaps, order = _blocks_in_reach(blocks, home, radius, reach + slack)
    visits = work = 0
    for rank in range(len(order)):
        block = int(order[rank])
        # By the triangle inequality, no point of the block is in reach of any query.
        if gaps[block] - radius - blocks.radii[block] > (reach + slack) * _RELATIVE:
            continue
        if visits == limit:
            break
        _compare(blocks.centers[block], as_columns, to_center)
        least = blocks.radii[block] + slack
        count = _choose(to_center, least, labels.of_blocks[block], own, squares, asked)
        if count == 0:
            continue
        at_once = rows.shape[1] > 0 and count >= _FEW_QUERIES
        if at_once:
            np.dot(projections[asked[:count]], blocks.columns[block], found[:count])
        for place in range(count):
            i, away = asked[place], found[place]
            far = np.sqrt(squares[i, -1]) + slack
            cut, error = far * far, rounding * (lengths[i] + blocks.longest[block])
            if at_once and error < _ROUGH * cut:
                cut += error
                near = _add_lengths(away, blocks.lengths[block], lengths[i], cut)
            else:
                _compare(projections[i], blocks.columns[block], away)
                near = _count_below(away, cut)
            work += len(away) * p + near * rows.shape[1]
            if near:
                _keep_nearest(
                    blocks, block, rows, labels.of_points, query_rows[i], own[i], away, cut,
                    sums, indices[i], squares[i],
                )  # fmt: skip
        visits += 1
        reach = np.sqrt(_largest(squares[:, -1]))
    return work


@compiled()
def _largest(values: Floats) -> np.float32:
    """Return the largest of ``values``; numba's own function takes seconds to compile."""
    largest: np.float32 = values[0]
    for value in values:
        largest = max(largest, value)
    return largest


@compiled()
def _choose(
    to_center: Floats,
    least: np.float32,
    of_block: int,
    own: Integers,
    squares: Floats,
    asked: Integers,
) -> int:
    """Write to ``asked`` the queries that may find a point of a block, and return their number.

    Args:
        to_center: (m,), squared distance of each query from the centre of the block.
        least: how far from the centre a point of the block may seem to be.
        of_block: label that all points of the block share, or -2.
        own: (m,), label of the points that a query must not find.
        squares: (m, k), squared distances of what was found before.
        asked: (m,), replaced.
    """
    count = 0
    for i in range(len(to_center)):
        bound = (np.sqrt(squares[i, -1]) + least) * _RELATIVE
        if to_center[i] < bound * bound and of_block != own[i]:
            asked[count] = i
            count += 1
    return count


@compiled()
def _add_lengths(
    products: Floats, lengths: Floats, length: np.float32, cut: np.float32
) -> np.int32:
    """Turn products with points into squared distances; return how many are below ``cut``."""
    near = np.int32(0)
    for j in range(len(products)):
        products[j] = (lengths[j] - 2 * products[j]) + length
        near += np.int32(products[j] < cut)
    return near


@compiled()
def _count_below(squares: Floats, cut: np.float32) -> np.int32:
    near = np.int32(0)
    for j in range(len(squares)):
        near += np.int32(squares[j] < cut)
    return near


@compiled()
def _blocks_in_reach(
    blocks: Blocks, home: Floats, radius: np.float32, reach: np.float32
) -> tuple[Floats, Integers]:
    """Return how far each block is from ``home``, and the blocks in reach, nearest first.

    A block is in reach if it may hold a point within ``reach`` of a point that is within ``radius``
    of ``home``.
    """
    gaps = np.empty(len(blocks.radii), np.float32)
    order = np.empty(len(blocks.radii), np.int64)
    near = 0
    for block in range(len(gaps)):
        gaps[block] = np.sqrt(squared_distance(home, blocks.centers[block]))
        if gaps[block] - radius - blocks.radii[block] <= reach * _RELATIVE:
            order[near] = block
            near += 1
    order = order[:near]
    _sort(order, gaps)
    return gaps, order


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
    labels: Integers,
    query: Floats,
    own: int,
    found: Floats,
    cut: np.float32,
    sums: Floats,
    indices: NDArray[np.int32],
    squares: Floats,
) -> None:
    """Insert the points of a block whose ``found`` is below ``cut``.

    Projections rule most points out, so only few are compared in full.
    """
    start = blocks.starts[block]
    last = len(squares) - 1
    for j in range(blocks.starts[block + 1] - start):
        if not found[j] < cut:
            continue
        name = blocks.order[start + j]
        square = _in_full(query, rows[name], sums) if len(query) else found[j]
        if labels[name] == own or square >= squares[last]:
            continue
        place = last
        while place > 0 and squares[place - 1] > square:
            squares[place] = squares[place - 1]
            indices[place] = indices[place - 1]
            place -= 1
        squares[place] = square
        indices[place] = name


@compiled()
def _in_full(a: Floats, b: Floats, sums: Floats) -> np.float32:
    """Return a squared distance, added up in `LANES` sums, which a processor does at once."""
    whole = len(a) // LANES
    total = np.float32(0)
    if whole:
        sums[:] = 0
        for part in range(whole):
            x, y = a[part * LANES : (part + 1) * LANES], b[part * LANES : (part + 1) * LANES]
            for lane in range(LANES):
                step = x[lane] - y[lane]
                sums[lane] += step * step
        for lane in range(LANES):
            total += sums[lane]
    for t in range(whole * LANES, len(a)):
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
            square = squared_distance(points[i], centers[block])
            if square < least:
                least = square
                nearest[i] = block
    return nearest
