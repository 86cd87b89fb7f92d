"""Exact nearest neighbours by a compiled search over blocks of nearby points.

The points are halved again and again at the median of their principal direction, so all blocks are
equally full. Each block has a centre and a radius, so that the triangle inequality can rule it out.
It holds its points transposed, so that one instruction compares many points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from latentkit import caches
from latentkit.neighbors.threads import start_numba

caches.prepare_numba()
start_numba()

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile a function with numba on its first call, and keep the machine code on disk.

    numba keeps the code next to the source or in the user's cache folder. If it can write to
    neither, each process compiles the function again; see `latentkit.caches`. The function runs
    without Python's global lock, so several threads can call it at once.

    Args:
        options: further options of ``numba.njit``, such as ``parallel=True``.

    Returns:
        A decorator. The function that it returns takes and returns what the original does, but
        only of types that numba knows, such as numbers, arrays and named tuples of them. It raises
        numba's errors if the function cannot be compiled.
    """

    def decorate(function: Function) -> Function:
        njit: Any = numba.njit
        return cast("Function", njit(function, cache=True, nogil=True, **options))

    return decorate


_SAMPLE = 256
_POWER_STEPS = 8
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Blocks(NamedTuple):
    """Points (n, p) in blocks.

    Args:
        order: (n,), the indices of the points, block after block.
        starts: (blocks + 1,), where each block begins in ``order``.
        columns: (blocks, p, width), each block's points as columns; unused columns are infinity.
        centers: (blocks, p), the mean of each block's points.
        radii: (blocks,), the distance from each centre to the farthest point of its block.
    """

    order: Integers
    starts: Integers
    columns: Floats
    centers: Floats
    radii: Floats


def make_blocks(points: Floats, width: int) -> Blocks:
    """Return ``points`` (n, p) in blocks of ``width`` points at most; sizes differ by at most 1."""
    n, p = points.shape
    order = np.arange(n)
    starts = np.array([0, n])
    while np.diff(starts).max() > width:
        middles = _halve(points, order, starts)
        starts = np.sort(np.concatenate([starts, middles]))
    count = len(starts) - 1
    columns = np.full((count, p, int(np.diff(starts).max())), np.inf, np.float32)
    centers = np.empty((count, p), np.float32)
    radii = np.empty(count, np.float32)
    blocks = Blocks(order, starts, columns, centers, radii)
    _fill(blocks, points)
    return blocks


@compiled(parallel=True)
def _halve(points: Floats, order: Integers, starts: Integers) -> Integers:
    """Split each block at the median of its principal direction; return the positions."""
    middles = np.empty(len(starts) - 1, np.int64)
    for block in numba.prange(len(starts) - 1):
        middles[block] = _halve_block(points, order, starts[block], starts[block + 1])
    return middles


@compiled()
def _halve_block(points: Floats, order: Integers, start: int, stop: int) -> int:
    members = order[start:stop]
    direction = _principal_direction(points, members)
    along = np.empty(len(members), np.float32)
    for i in range(len(members)):
        along[i] = _dot(points[members[i]], direction)
    middle = (start + stop) // 2
    _part(along, members, middle - start)
    return middle


@compiled()
def _part(keys: Floats, members: Integers, middle: int) -> None:
    """Move the ``middle`` members of smallest keys to the front (C. A. R. Hoare, 1961)."""
    left, right = 0, len(keys) - 1
    while left < right:
        pivot = keys[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                members[i], members[j] = members[j], members[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@compiled()
def _principal_direction(points: Floats, members: Integers) -> Floats:
    """Return the direction of largest variance in a sample, found by power iteration."""
    p = points.shape[1]
    step = max(1, len(members) // _SAMPLE)
    sample = np.empty((len(members) // step, p), np.float32)
    direction = np.zeros(p, np.float32)
    # Centre the sample. Start at the axis of largest variance, which needs few iterations.
    widest, most = 0, np.float32(-1)
    for t in range(p):
        mean, variance = np.float32(0), np.float32(0)
        for i in range(len(sample)):
            sample[i, t] = points[members[i * step], t]
            mean += sample[i, t] / np.float32(len(sample))
        for i in range(len(sample)):
            sample[i, t] -= mean
            variance += sample[i, t] * sample[i, t]
        if variance > most:
            widest, most = t, variance
    direction[widest] = 1
    following = np.empty(p, np.float32)
    for _ in range(_POWER_STEPS):
        # Multiply by the covariance of the sample without storing that (p, p) matrix.
        for t in range(p):
            following[t] = 0
        for i in range(len(sample)):
            projection = _dot(sample[i], direction)
            for t in range(p):
                following[t] += projection * sample[i, t]
        length = np.sqrt(_dot(following, following))
        if length == 0:  # all points of the sample are equal
            break
        for t in range(p):
            direction[t] = following[t] / length
    return direction


@compiled()
def _dot(a: Floats, b: Floats) -> np.float32:
    total = np.float32(0)
    for t in range(len(a)):
        total += a[t] * b[t]
    return total


@compiled(parallel=True)
def _fill(blocks: Blocks, points: Floats) -> None:
    for block in numba.prange(len(blocks.radii)):
        _fill_block(blocks, block, points)


@compiled()
def _fill_block(blocks: Blocks, block: int, points: Floats) -> None:
    start, stop = blocks.starts[block], blocks.starts[block + 1]
    center = blocks.centers[block]
    for t in range(len(center)):
        total = 0.0
        for i in range(start, stop):
            value = points[blocks.order[i], t]
            blocks.columns[block, t, i - start] = value
            total += value
        center[t] = total / (stop - start)
    farthest = np.float32(0)
    for i in range(start, stop):
        square = np.float32(0)
        for t in range(len(center)):
            step = points[blocks.order[i], t] - center[t]
            square += step * step
        farthest = max(farthest, square)
    blocks.radii[block] = np.sqrt(farthest)


_RELATIVE = np.float32(1 + 1e-5)


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


@compiled(parallel=True)
def search(
    blocks: Blocks,
    rows: Floats,
    labels: Labels,
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
        labels: labels of the points.
        queries: the query points.
        limit: largest number of blocks that a batch visits.
        slack: how much rounding may have added to a distance between projections.
        indices: (m, k), replaced with the indices of the points that are found.
        squares: (m, k), replaced with their squared distances. Before that, infinity, or squares in
            ascending order that a point must be below to be found.

    Returns:
        (batches,), the number of multiplications of each batch.
    """
    work = np.empty(len(queries.homes), np.int64)
    for batch in numba.prange(len(work)):
        first, last = queries.starts[batch], queries.starts[batch + 1]
        work[batch] = _search_batch(
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
    last = squares.shape[1] - 1
    as_columns = np.empty((p, m), np.float32)
    to_center = np.empty(m, np.float32)
    found = np.empty(blocks.columns.shape[2], np.float32)
    # All queries of the batch are within ``radius`` of the centre of the home block.
    radius = reach = np.float32(0)
    for i in range(m):
        radius = max(radius, np.sqrt(_squared_distance(home, projections[i])))
        reach = max(reach, np.sqrt(squares[i, last]))
        for t in range(p):
            as_columns[t, i] = projections[i, t]
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
        visited = False
        for i in range(m):
            far = np.sqrt(squares[i, last])
            bound = (far + blocks.radii[block] + slack) * _RELATIVE
            if to_center[i] >= bound * bound:  # no point is in reach of this query
                continue
            if labels.of_blocks[block] == own[i]:
                continue
            visited = True
            _compare(projections[i], blocks.columns[block], found)
            # Projections rule most points out; only the others are compared in full.
            cut = (far + slack) * (far + slack)
            compared = _keep_nearest(
                blocks, block, rows, labels.of_points, query_rows[i], own[i], found, cut,
                indices[i], squares[i],
            )  # fmt: skip
            work += found.size * p + compared * rows.shape[1]
        if visited:
            visits += 1
            reach = np.sqrt(squares[:, last].max())
    return work


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
        gaps[block] = np.sqrt(_squared_distance(home, blocks.centers[block]))
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
        if labels[name] == own or square >= squares[last]:
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
