"""Helpers shared by the benchmarks of maps: vectors, seconds, and quality measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

K = 10
_ANCHORS = 2000
_AT_ONCE = 250


def load(vectors: str, labels: str, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the last ``n`` vectors (N, D) and labels of two .npy files."""
    return np.load(vectors)[-n:].astype(np.float32), np.load(labels)[-n:].astype(np.int64)


def points_of(path: str, n: int, noise: float = 0.1) -> NDArray[np.float32]:
    """Return ``n`` of the vectors in a file, or, if it has fewer, copies with noise."""
    vectors = np.load(path).astype(np.float32)
    rng = np.random.default_rng(0)
    if n <= len(vectors):
        return vectors[rng.permutation(len(vectors))[:n]]
    drawn = vectors[rng.integers(len(vectors), size=n)]
    steps = rng.standard_normal(drawn.shape, dtype=np.float32)
    return drawn + np.float32(noise) * vectors.std(axis=0) * steps


def timed(make: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result of ``make``, its wall-clock seconds, and its processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = make()
    return made, time.perf_counter() - wall, time.process_time() - cpu


def map_accuracy(coordinates: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the accuracy of `K` nearest neighbours in the map, over all points."""
    near = _without_self(coordinates, np.arange(len(labels)))
    votes = np.zeros((len(labels), labels.max() + 1), np.int32)
    for column in near.T:
        votes[np.arange(len(labels)), labels[column]] += 1
    return float((votes.argmax(1) == labels).mean())


def sampled_trustworthiness(vectors: NDArray[np.float32], coordinates: NDArray[Any]) -> float:
    """Return trustworthiness over 2,000 points against all, by brute force."""
    n = len(vectors)
    anchors = np.random.default_rng(0).choice(n, min(_ANCHORS, n), replace=False)
    near = _without_self(coordinates, anchors)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    penalty = 0.0
    for start in range(0, len(anchors), _AT_ONCE):
        block = anchors[start : start + _AT_ONCE]
        distances = squares - 2 * vectors[block] @ vectors.T
        distances[np.arange(len(block)), block] = -np.inf
        for row, neighbors in zip(distances, near[start : start + _AT_ONCE], strict=True):
            ranks = (row < row[neighbors][:, None]).sum(1)
            penalty += np.maximum(0, ranks - K).sum()
    return float(1 - penalty * 2 / (len(anchors) * K * (2 * n - 3 * K - 1)))


def _without_self(coordinates: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    near = cKDTree(coordinates).query(coordinates[rows], K + 1, workers=-1)[1]
    # A point need not be its own first neighbour if other points have the same coordinates.
    own = near == rows[:, None]
    own[~own.any(1), -1] = True
    return near[~own].reshape(len(rows), K)
