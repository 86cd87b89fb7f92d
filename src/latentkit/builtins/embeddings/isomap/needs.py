"""Estimate of the memory and time of a fit."""

from __future__ import annotations

from latentkit.plugin import ResourceEstimate

_SECONDS_PER_STEP = 1.5e-7


def needs(n: int, d: int, n_neighbors: int, landmarks: int) -> ResourceEstimate:
    """Return peak memory and time of a fit of ``n`` vectors of ``d`` dimensions."""
    vectors = 4 * n * d * 5
    graph = 28 * n * n_neighbors
    distances = 4 * n * landmarks
    square = 24 * landmarks * landmarks
    seconds = _SECONDS_PER_STEP * n * landmarks
    return ResourceEstimate(bytes=vectors + graph + distances + square, seconds=seconds)
