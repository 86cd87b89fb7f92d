"""Points in blocks of nearby ones, for the search.

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
        lengths: (blocks, width), the squared length of each column.
        longest: (blocks,), the largest squared length of a block's points.
        centers: (blocks, p), the mean of each block's points.
        radii: (blocks,), the distance from each centre to the farthest point of its block.
    """

    order: Integers
    starts: Integers
    columns: Floats
    lengths: Floats
    longest: Floats
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
    width = int(np.diff(starts).max())
    blocks = Blocks(
        order,
        starts,
        columns=np.full((count, p, width), np.inf, np.float32),
        lengths=np.full((count, width), np.inf, np.float32),
        longest=np.empty(count, np.float32),
        centers=np.empty((count, p), np.float32),
        radii=np.empty(count, np.float32),
    )
    _fill(blocks, points)
    return blocks


@compiled()
def _halve(points: Floats, order: Integers, starts: Integers) -> Integers:
    """Split each block at the median of its principal direction; return the positions."""
    middles = np.empty(len(starts) - 1, np.int64)
    for block in range(len(starts) - 1):
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


@compiled()
def _fill(blocks: Blocks, points: Floats) -> None:
    for block in range(len(blocks.radii)):
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
    farthest = longest = np.float32(0)
    for i in range(start, stop):
        point = points[blocks.order[i]]
        length = _dot(point, point)
        blocks.lengths[block, i - start] = length
        longest = max(longest, length)
        farthest = max(farthest, squared_distance(point, center))
    blocks.longest[block] = longest
    blocks.radii[block] = np.sqrt(farthest)


@compiled()
def squared_distance(a: Floats, b: Floats) -> np.float32:
    """Return the squared distance of two vectors (p,), added up in their order."""
    total = np.float32(0)
    for t in range(len(a)):
        total += (a[t] - b[t]) * (a[t] - b[t])
    return total
