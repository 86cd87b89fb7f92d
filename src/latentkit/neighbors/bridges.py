"""Shortest bridges: from each group of points to the nearest point outside it."""

from __future__ import annotations

import numba
import numpy as np

from latentkit.neighbors.search import Blocks, Floats, Integers, compiled

_RELATIVE = np.float32(1 + 1e-5)


@compiled(parallel=True)
def shortest_bridges(
    blocks: Blocks,
    rows: Floats,
    seen: Floats,
    slack: float,
    groups: Integers,
    members: Integers,
    homes_of: Integers,
    starts: Integers,
    squares: Floats,
    ends: Integers,
) -> None:
    """Find the shortest line from each group to any point outside it.

    Args:
        blocks: all points in blocks.
        rows: (n, d), the points.
        seen: (n, p), the points as the blocks hold them: projected, or the same as ``rows``.
        slack: how much rounding may have added to a distance between points of ``seen``.
        groups: (n,), the group of each point.
        members: the points of the requested groups, as positions in the order of the blocks.
        homes_of: the block of each member.
        starts: (asked + 1,), where each requested group begins in ``members``.
        squares: (asked,), the squared length of a known line of each group, or infinity. Replaced
            if a member has a shorter line.
        ends: (asked, 2), the two points of that line, the group's own first. Replaced with it.
    """
    for asked in numba.prange(len(ends)):
        own = members[starts[asked] : starts[asked + 1]]
        homes = homes_of[starts[asked] : starts[asked + 1]]
        if len(own) == 0:
            continue
        best = squares[asked]
        if best == np.inf:
            best = _try_nearest_blocks(blocks, rows, groups, own, homes, ends[asked])
        squares[asked] = _improve(
            blocks, rows, seen, np.float32(slack), groups, own, homes, best, ends[asked]
        )


@compiled()
def _gap(blocks: Blocks, a: int, b: int) -> np.float32:
    total = np.float32(0)
    for t in range(blocks.centers.shape[1]):
        total += (blocks.centers[a, t] - blocks.centers[b, t]) ** 2
    return np.float32(np.sqrt(total))


@compiled()
def _has_outsider(blocks: Blocks, groups: Integers, block: int, group: int) -> bool:
    for position in range(blocks.starts[block], blocks.starts[block + 1]):
        if groups[blocks.order[position]] != group:
            return True
    return False


@compiled()
def _try_nearest_blocks(
    blocks: Blocks, rows: Floats, groups: Integers, own: Integers, homes: Integers, ends: Integers
) -> np.float32:
    """Return the square of a short line, from the block pair whose centres are closest."""
    group = groups[blocks.order[own[0]]]
    closest, home, target = np.float32(np.inf), 0, 0
    for i in range(len(own)):
        if i > 0 and homes[i] == homes[i - 1]:  # this block was tried already
            continue
        for block in range(len(blocks.radii)):
            gap = _gap(blocks, homes[i], block)
            if gap < closest and _has_outsider(blocks, groups, block, group):
                closest, home, target = gap, homes[i], block
    best = np.float32(np.inf)
    for i in range(len(own)):
        if homes[i] == home:
            best = _shortest(blocks, rows, groups, blocks.order[own[i]], target, best, ends)
    return best


@compiled()
def _improve(
    blocks: Blocks,
    rows: Floats,
    seen: Floats,
    slack: np.float32,
    groups: Integers,
    own: Integers,
    homes: Integers,
    best: np.float32,
    ends: Integers,
) -> np.float32:
    """Return the square of the shortest line, given the square ``best`` of a short one."""
    first = 0
    while first < len(own):
        # Members of one block are tested together first, because that rules out most blocks.
        home, last = homes[first], first
        while last < len(own) and homes[last] == home:
            last += 1
        for block in range(len(blocks.radii)):
            near = (np.sqrt(best) + slack + blocks.radii[block]) * _RELATIVE
            if _gap(blocks, home, block) - blocks.radii[home] * _RELATIVE > near:
                continue
            for i in range(first, last):
                point = blocks.order[own[i]]
                # Repeat the test for this point: ``best`` may have become smaller.
                near = (np.sqrt(best) + slack + blocks.radii[block]) * _RELATIVE
                if _square(seen[point], blocks.centers[block]) <= near * near:
                    best = _shortest(blocks, rows, groups, point, block, best, ends)
        first = last
    return best


@compiled()
def _shortest(
    blocks: Blocks,
    rows: Floats,
    groups: Integers,
    point: int,
    block: int,
    best: np.float32,
    ends: Integers,
) -> np.float32:
    """Return the shortest square: ``best``, or from ``point`` to other groups in ``block``."""
    for position in range(blocks.starts[block], blocks.starts[block + 1]):
        other = blocks.order[position]
        if groups[other] != groups[point]:
            square = _square(rows[point], rows[other])
            if square < best:
                best = square
                ends[0], ends[1] = point, other
    return best


@compiled()
def _square(a: Floats, b: Floats) -> np.float32:
    total = np.float32(0)
    for t in range(len(a)):
        total += (a[t] - b[t]) * (a[t] - b[t])
    return total
