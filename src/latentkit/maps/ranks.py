"""Compiled ranks of distances. Import this module only to use it, because it imports numba.

A key is 64 bits: a squared distance, with an index in the lowest bits. A non-negative float64 is
ordered like its bits. So the keys are sorted as integers, by radix sort, and each carries its
index along. Of the distance, a key keeps the exponent and 33 bits of the mantissa (fewer above 2^20
points). So distances that agree in ten digits are a tie, in whatever order their coordinates were
summed. Ties are ordered by index, in the latents and in the map (Lee and Verleysen, 2009).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.maps.uncompiled_ranks import INDEX_BITS
from latentkit.neighbors import compiled

_DIGIT_BITS = 11
_DIGITS = 4
_TILE = 512  # points whose coordinates stay in the cache for all anchors of a turn
_TURNS = 4  # anchors in a turn


@compiled()
def sort_keys(keys: NDArray[np.uint64], spare: NDArray[np.uint64]) -> None:
    """Sort by all but the lowest `INDEX_BITS` bits; equal keys keep their order."""
    counts = np.zeros((_DIGITS, 1 << _DIGIT_BITS), np.int64)
    low = np.uint64((1 << _DIGIT_BITS) - 1)
    # Count all digits in one pass, because no later pass changes the counts.
    for key in keys:
        for digit in range(_DIGITS):
            shift = np.uint64(INDEX_BITS + digit * _DIGIT_BITS)
            counts[digit, np.int64((key >> shift) & low)] += 1
    source, target = keys, spare
    for digit in range(_DIGITS):  # an even number, so the last pass writes to keys
        shift = np.uint64(INDEX_BITS + digit * _DIGIT_BITS)
        places = counts[digit]
        start = np.int64(0)
        for place in range(len(places)):
            count = places[place]
            places[place] = start
            start += count
        for key in source:
            value = np.int64((key >> shift) & low)
            target[places[value]] = key
            places[value] += 1
        source, target = target, source


@compiled()
def doubled_mid_ranks(values: NDArray[np.float64], mask: np.uint64) -> NDArray[np.int32]:
    """Return twice the mid-rank of each value, from 1 to 2n - 1.

    In sorted order, value i takes the place from i to i + 1, and its mid-rank is the middle. Ties
    share the middle of their places. Values must be non-negative, and fewer than 2^30.
    """
    n = len(values)
    keys, spare = np.empty(n, np.uint64), np.empty(n, np.uint64)
    bits = values.view(np.uint64)
    for i in range(n):
        keys[i] = ((bits[i] << np.uint64(1)) & ~mask) | np.uint64(i)
    sort_keys(keys, spare)
    ranks = np.empty(n, np.int32)
    start = 0
    for end in range(1, n + 1):
        if end == n or (keys[end] & ~mask) != (keys[start] & ~mask):
            for position in range(start, end):
                ranks[np.int64(keys[position] & mask)] = start + end
            start = end
    return ranks


@compiled()
def _fill_keys(
    points: NDArray[np.floating[Any]],
    anchors: NDArray[np.int64],
    mask: np.uint64,
    keys: NDArray[np.uint64],
) -> None:
    """Write the keys (A, n) of points (d, n) seen from each anchor; its own key is the largest."""
    d, n = points.shape
    squared = np.empty(_TILE, np.float64)
    bits = squared.view(np.uint64)
    for start in range(0, n, _TILE):
        size = min(_TILE, n - start)
        for row in range(len(anchors)):
            squared[:size] = 0.0
            for c in range(d):
                own = np.float64(points[c, anchors[row]])
                others = points[c, start : start + size]
                for j in range(size):
                    difference = np.float64(others[j]) - own
                    squared[j] += difference * difference
            for j in range(size):
                key = (bits[j] << np.uint64(1)) & ~mask
                keys[row, start + j] = key | np.uint64(start + j)
    for row in range(len(anchors)):
        keys[row, anchors[row]] = ~mask | np.uint64(anchors[row])


@compiled()
def _majority(
    keys: NDArray[np.uint64], k: int, mask: np.uint64, labels: NDArray[np.int64], n_classes: int
) -> int:
    """Return the most common class of the first k; on a tie, the lowest class."""
    votes = np.zeros(n_classes, np.int64)
    for position in range(k):
        votes[labels[np.int64(keys[position] & mask)]] += 1
    return int(np.argmax(votes))


@compiled()
def compare_ranks(
    high: NDArray[np.floating[Any]],
    low: NDArray[np.floating[Any]],
    anchors: NDArray[np.int64],
    labels: NDArray[np.int64],
    n_classes: int,
    k: int,
    slots: NDArray[np.int64],
    weights: NDArray[np.float64],
    mask: np.uint64,
    excess: NDArray[np.int64],
    hits: NDArray[np.int64],
    kept: NDArray[np.int64],
    area: NDArray[np.float64],
) -> None:
    """Rank all points around each anchor in two spaces, and write how the ranks compare.

    Args:
        high: (D, n), the vectors, coordinate by coordinate.
        low: (d, n), the map.
        anchors: (A,), rows of the anchors.
        labels: (n,), from 0 to n_classes - 1.
        n_classes: number of classes.
        k: size of a neighbourhood.
        slots: (n,), for each rank the column of ``kept`` that counts it.
        weights: (n,), for each rank what it adds to ``area``.
        mask: `index_mask`.
        excess: (A, 2), the sum of how much the ranks in ``high`` of the k nearest in ``low`` exceed
            k, and the same with ``high`` and ``low`` exchanged.
        hits: (A, 2), whether the most common label of the k nearest is the anchor's: in ``low``,
            in ``high``.
        kept: (A, slots), the number of points whose larger rank belongs to that slot.
        area: (A,), the sum of the weights of all points' larger ranks.
    """
    n = high.shape[1]
    far = np.empty((_TURNS, n), np.uint64)
    near = np.empty((1, n), np.uint64)
    spare = np.empty(n, np.uint64)
    rank_high = np.empty(n, np.int32)
    for first in range(0, len(anchors), _TURNS):
        turn = anchors[first : first + _TURNS]
        _fill_keys(high, turn, mask, far)
        for row in range(len(turn)):
            out = first + row
            sort_keys(far[row], spare)
            _fill_keys(low, turn[row : row + 1], mask, near)
            sort_keys(near[0], spare)
            for position in range(n):
                rank_high[np.int64(far[row, position] & mask)] = position + 1
            for position in range(n - 1):  # the last is the anchor itself
                rank_low = position + 1
                rank = rank_high[np.int64(near[0, position] & mask)]
                if rank_low <= k and rank > k:
                    excess[out, 0] += rank - k
                if rank <= k and rank_low > k:
                    excess[out, 1] += rank_low - k
                larger = max(rank, rank_low)
                kept[out, slots[larger]] += 1
                area[out] += weights[larger]
            own = labels[turn[row]]
            hits[out, 0] = _majority(near[0], k, mask, labels, n_classes) == own
            hits[out, 1] = _majority(far[row], k, mask, labels, n_classes) == own


@compiled()
def sum_trust_excess(
    high: NDArray[np.float32],
    near: NDArray[np.int32],
    anchors: NDArray[np.int64],
    excess: NDArray[np.int64],
) -> None:
    """Write how much the ranks in ``high`` of the k nearest in the map exceed k.

    A rank is 1 more than the number of nearer points, so nothing is sorted.

    Args:
        high: (D, n), the vectors, coordinate by coordinate.
        near: (A, k), the rows of the points that are nearest to each anchor in the map.
        anchors: (A,), rows of the anchors.
        excess: (A,).
    """
    d, n = high.shape
    k = near.shape[1]
    squared = np.empty(n, np.float32)
    for row in range(len(anchors)):
        for start in range(0, n, _TILE):
            size = min(_TILE, n - start)
            tile = squared[start : start + size]
            tile[:] = np.float32(0)
            for c in range(d):
                own = high[c, anchors[row]]
                others = high[c, start : start + size]
                for j in range(size):
                    difference = others[j] - own
                    tile[j] += difference * difference
        squared[anchors[row]] = np.inf  # it is no neighbour of its own
        total = 0
        for one in near[row]:
            limit = squared[one]
            nearer = np.int32(0)
            for j in range(n):
                nearer += np.int32(squared[j] < limit)
            total += max(0, nearer + 1 - k)
        excess[row] = total
