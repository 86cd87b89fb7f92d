"""Distances between pairs of points in vectors and map: rank correlation and stress."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation import few_ranks
from latentkit.evaluation.estimates import Estimate
from latentkit.evaluation.rank_keys import index_mask

_BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PairDistances:
    """Distances of P pairs of points: (P,) in the vectors and (P,) in the map.

    ``sampled`` is true for independent draws, and false for the list of all pairs.
    """

    high: NDArray[np.float64]
    low: NDArray[np.float64]
    sampled: bool


def pair_distances(
    high: NDArray[np.floating[Any]], low: NDArray[np.floating[Any]], draws: int | None, seed: int
) -> PairDistances:
    """Measure all pairs of points, or pairs drawn independently, each as likely as any other.

    Args:
        high: (n, D).
        low: (n, d).
        draws: number of pairs to draw, or None for all pairs.
        seed: seed of the draws.
    """
    if draws is None:
        from scipy.spatial.distance import pdist

        return PairDistances(pdist(high), pdist(low), sampled=False)
    generator = np.random.default_rng([seed, 1])
    n = len(high)
    first = generator.integers(0, n, draws)
    second = generator.integers(0, n - 1, draws)
    second += second >= first  # any point but the first one
    return PairDistances(_between(high, first, second), _between(low, first, second), sampled=True)


def _between(
    points: NDArray[np.floating[Any]], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    distances = np.empty(len(first))
    rows = max(1, _BLOCK_BYTES // (8 * points.shape[1]))
    for start in range(0, len(first), rows):
        part = slice(start, start + rows)
        difference = points[first[part]].astype(np.float64) - points[second[part]]
        distances[part] = np.sqrt(np.einsum("pd,pd->p", difference, difference))
    return distances


def scale_normalised_stress(pairs: PairDistances) -> Estimate | None:
    """Return the stress of the map at its best scale, or None if all vectors are equal.

    The stress is the minimum over a of sqrt(sum (x - a y)^2 / sum x^2). Here x are the distances of
    the vectors and y those of the map. The best a is sum xy / sum y^2. The stress is 0 for a map
    that is geometrically similar to its vectors, and 1 for a map of one point.
    """
    x, y = pairs.high, pairs.low
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    if xx == 0:
        return None
    if yy == 0:
        return Estimate(1.0, 0.0)
    residual = x - (xy / yy) * y
    stress = math.sqrt(float(residual @ residual) / xx)
    if not pairs.sampled or stress == 0:
        return Estimate(stress, 0.0)
    # First-order effect of one pair on stress^2. At the best a, a change of a has no effect.
    effect = len(x) / xx * (residual * residual - stress * stress * x * x)
    return Estimate(stress, _error(effect) / (2 * stress))


def _doubled_mid_ranks(distances: NDArray[np.float64]) -> NDArray[np.int32]:
    mask = index_mask(len(distances))
    if len(distances) <= few_ranks.MOST:
        return few_ranks.few_doubled_mid_ranks(distances, mask)
    from latentkit.evaluation.ranks import doubled_mid_ranks

    return doubled_mid_ranks(distances, mask)


def spearman_correlation(pairs: PairDistances) -> Estimate | None:
    """Return the rank correlation of the distances; ties share their mean rank.

    Return None if all distances of the vectors, or all of the map, are equal.
    """
    x, y = _doubled_mid_ranks(pairs.high), _doubled_mid_ranks(pairs.low)
    variance_x, variance_y = _moment(x, x), _moment(y, y)
    if variance_x == 0 or variance_y == 0:
        return None
    scale = math.sqrt(variance_x * variance_y)
    correlation = min(1.0, max(-1.0, _moment(x, y) / scale))
    if not pairs.sampled:
        return Estimate(correlation, 0.0)
    effect = _effect(x, y) / scale
    effect -= correlation / 2 * (_effect(x, x) / variance_x + _effect(y, y) / variance_y)
    return Estimate(correlation, _error(effect))


def _centred(ranks: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return ranks scaled to -1/2 to 1/2; their mean is 0, even with ties."""
    centred: NDArray[np.float64] = ranks / (2 * len(ranks)) - 0.5
    return centred


def _moment(x: NDArray[np.int32], y: NDArray[np.int32]) -> float:
    return float(_centred(x) @ _centred(y)) / len(x)


def _effect(x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return each pair's first-order effect on the mean product of ranks (its influence).

    A pair acts through its own ranks, and by raising the rank of every pair above it.
    """
    effect = _centred(x) * _centred(y)
    effect += _mean_above(x, _centred(y))
    effect += _mean_above(y, _centred(x))
    return effect


def _mean_above(ranks: NDArray[np.int32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return per pair (the sum of values at higher ranks + half of those at its own rank) / P."""
    sums = np.bincount(ranks, values)
    above = sums[::-1].cumsum()[::-1] - sums / 2
    shares: NDArray[np.float64] = above[ranks] / len(values)
    return shares


def _error(effect: NDArray[np.float64]) -> float:
    return float(effect.std()) / math.sqrt(len(effect))
