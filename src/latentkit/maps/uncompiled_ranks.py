"""NumPy version of `latentkit.maps.ranks` for few points, because compiling takes seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INDEX_BITS = 20
"""Lowest bits of a key, which hold the index. They need no sorting: indices start in order."""


def index_mask(n: int) -> np.uint64:
    """Return a mask of the bits of a key that hold an index below n."""
    return np.uint64((1 << max(INDEX_BITS, (n - 1).bit_length())) - 1)


MOST = 1_000_000
"""This version is used up to this many distances, which take a fraction of a second."""

Keys = NDArray[np.uint64]


def compare_few_ranks(
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
    """Compute the same as `latentkit.maps.ranks.compare_ranks`, to the last bit."""
    orders = [_nearest_first(points, anchors, mask) for points in (low, high)]
    ranks = [_ranks(order) for order in orders]
    for column, (own, other) in enumerate((ranks, ranks[::-1])):
        near = own <= k
        excess[:, column] = np.where(near, np.maximum(other - k, 0), 0).sum(1)
        votes = labels[orders[column][:, :k]]
        counts = (votes[:, :, None] == np.arange(n_classes)).sum(1)
        hits[:, column] = counts.argmax(1) == labels[anchors]
    rows = np.arange(len(anchors))
    for place in range(len(labels) - 1):  # nearest in the map first: sums round alike
        point = orders[0][:, place]
        larger = np.maximum(ranks[0][rows, point], ranks[1][rows, point])
        kept[rows, slots[larger]] += 1
        area += weights[larger]


def few_doubled_mid_ranks(values: NDArray[np.float64], mask: np.uint64) -> NDArray[np.int32]:
    """Compute the same as `latentkit.maps.ranks.doubled_mid_ranks`."""
    _, inverse, counts = np.unique(_bits(values, mask), return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return (2 * ends - counts).astype(np.int32)[inverse]


def _nearest_first(
    points: NDArray[np.floating[Any]], anchors: NDArray[np.int64], mask: np.uint64
) -> NDArray[np.intp]:
    """Return all points (A, n) of (d, n), nearest to each anchor first, the anchor itself last."""
    squared = np.zeros((len(anchors), points.shape[1]))
    for axis in points.astype(np.float64):
        squared += np.square(axis - axis[anchors, None])
    keys = _bits(squared, mask)
    keys[np.arange(len(anchors)), anchors] = ~mask
    return np.argsort(keys, axis=1, kind="stable")


def _bits(values: NDArray[np.float64], mask: np.uint64) -> Keys:
    """Return the bits of each value that are compared; see `latentkit.maps.ranks`."""
    keys: Keys = (values.view(np.uint64) << np.uint64(1)) & ~mask
    return keys


def _ranks(order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the rank (A, n) of each point, from 1; the anchor itself has rank n."""
    ranks = np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1)[None], axis=1)
    return ranks
