"""Points in blocks of neighbours: what a search visits or passes over as a whole.

Blocks come from halving the points again and again at the median of their principal direction,
so all blocks are equally full. Each has a centre and a radius, by which the triangle inequality
rules it out, and holds its points transposed, so that one instruction compares many points.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from latentkit.neighbors.compiled import compiled

_SAMPLE = 256
_POWER_STEPS = 8
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Blocks(NamedTuple):
    """Points (n, p) in blocks.

    Args:
        order: (n,), the points' numbers, block after block.
        starts: (blocks + 1,), where each block begins in ``order``.
        columns: (blocks, p, width), each block's points as columns; infinity where it is not full.
        centers: (blocks, p).
        radii: (blocks,), distance of the centre to its farthest point.
    """

    order: Integers
    starts: Integers
    columns: Floats
    centers: Floats
    radii: Floats


def make_blocks(points: Floats, width: int) -> Blocks:
    """Return ``points`` (n, p) in blocks of at most ``width`` points, all within one of equal."""
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
    _fill(points, order, starts, columns, centers, radii)
    return Blocks(order, starts, columns, centers, radii)


@compiled(parallel=True)
def _halve(points: Floats, order: Integers, starts: Integers) -> Integers:
    """Sort each block along its principal direction, and return where its second half begins."""
    middles = np.empty(len(starts) - 1, np.int64)
    for block in numba.prange(len(starts) - 1):
        start, stop = starts[block], starts[block + 1]
        members = order[start:stop].copy()
        direction = _principal_direction(points, members)
        along = np.zeros(len(members), np.float32)
        for i in range(len(members)):
            for t in range(points.shape[1]):
                along[i] += points[members[i], t] * direction[t]
        ranks = np.argsort(along, kind="mergesort")
        for i in range(len(members)):
            order[start + i] = members[ranks[i]]
        middles[block] = (start + stop) // 2
    return middles


@compiled()
def _principal_direction(points: Floats, members: Integers) -> Floats:
    """Return the direction of most variance of a sample, by power iteration."""
    p = points.shape[1]
    step = max(1, len(members) // _SAMPLE)
    sample = np.empty((len(members) // step, p), np.float32)
    for i in range(len(sample)):
        sample[i] = points[members[i * step]]
    mean = np.zeros(p, np.float32)
    for i in range(len(sample)):
        mean += sample[i]
    mean /= np.float32(len(sample))
    variance = np.zeros(p, np.float32)
    for i in range(len(sample)):
        sample[i] -= mean
        variance += sample[i] ** 2
    direction = np.zeros(p, np.float32)
    direction[np.argmax(variance)] = 1
    for _ in range(_POWER_STEPS):
        following = np.zeros(p, np.float32)
        for i in range(len(sample)):
            shadow = np.float32(0)
            for t in range(p):
                shadow += sample[i, t] * direction[t]
            following += shadow * sample[i]
        length = np.sqrt(np.sum(following**2))
        if not length > 0:
            break
        direction = following / length
    return direction


@compiled(parallel=True)
def _fill(
    points: Floats,
    order: Integers,
    starts: Integers,
    columns: Floats,
    centers: Floats,
    radii: Floats,
) -> None:
    p = points.shape[1]
    for block in numba.prange(len(radii)):
        start, stop = starts[block], starts[block + 1]
        for t in range(p):
            total = 0.0
            for i in range(start, stop):
                columns[block, t, i - start] = points[order[i], t]
                total += points[order[i], t]
            centers[block, t] = total / (stop - start)
        farthest = np.float32(0)
        for i in range(start, stop):
            square = np.float32(0)
            for t in range(p):
                square += (points[order[i], t] - centers[block, t]) ** 2
            farthest = max(farthest, square)
        radii[block] = np.sqrt(farthest)
