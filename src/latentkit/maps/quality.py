"""Quality of a map: how well it preserves the neighbourhoods and distances of its vectors.

Trustworthiness and continuity follow J. Venna and S. Kaski (2001), scaled as in scikit-learn: 1 is
perfect, and a random map gets about 0.5. Q_NX(k) is the share of an anchor's k nearest in the
latents that are among its k nearest in the map. R_NX(k) is Q_NX(k), scaled so that a random map
gets 0. Both follow J. A. Lee et al. (2013). The area under R_NX over the logarithm of k follows
Lee, Peluffo-Ordóñez and Verleysen (2015). The area includes every k from 1 to n - 2, not a grid of
k, so only the anchors are sampled.

Up to `EXACT_LIMIT` points, every point is an anchor. Above that, `ANCHORS` are sampled. Each is
still compared with all points, so the estimate is unbiased. Trustworthiness needs no sorting, so it
is computed for every point, or for as many as `TRUST_WORK` allows. Correlation and stress of
distances use all pairs up to `EXACT_PAIRS_LIMIT` points, and `PAIRS` sampled pairs above that. Both
are functions of means over pairs. Their bias is far below their standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.maps import uncompiled_ranks
from latentkit.maps.uncompiled_ranks import index_mask


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error, which is 0 if nothing was sampled."""

    value: float
    standard_error: float


def mean_of_sample(values: NDArray[np.floating[Any]], population: int) -> Estimate:
    """Estimate the mean of a population from a simple random sample of it.

    Args:
        values: the sample, drawn without replacement; at least two values unless it is the whole
            population.
        population: size of the population. If all of it is sampled, the mean is exact.
    """
    if len(values) == population:
        return Estimate(float(values.mean()), 0.0)
    left_out = 1 - len(values) / population  # the finite population correction
    return Estimate(
        float(values.mean()), float(values.std(ddof=1)) * math.sqrt(left_out / len(values))
    )


_CHUNK = 32  # anchors in a task


@dataclass(frozen=True)
class Neighbourhoods:
    """Comparison of the neighbourhoods of A anchors.

    Args:
        trustworthiness: (A,), 1 if all neighbours in the map are neighbours in the latents.
        continuity: (A,), 1 if all neighbours in the latents are neighbours in the map.
        q_nx: (A, sizes), the share of neighbours kept, for each of `sizes`.
        auc_r_nx: (A,), the area under R_NX(k) over the logarithm of k.
        hits_map: (A,), 1 if the most common label of neighbours in the map is the anchor's, else 0.
        hits_latents: (A,), the same for neighbours in the latents.
    """

    trustworthiness: NDArray[np.float64]
    continuity: NDArray[np.float64]
    q_nx: NDArray[np.float64]
    auc_r_nx: NDArray[np.float64]
    hits_map: NDArray[np.float64]
    hits_latents: NDArray[np.float64]


def sizes(n: int) -> NDArray[np.int64]:
    """Return 1, 2, 5, 10, 20, ... up to n - 2, the largest k for which R_NX exists."""
    series = [factor * 10**power for power in range(len(str(n))) for factor in (1, 2, 5)]
    return np.array([k for k in series if k <= n - 2])


def look_around(
    high: NDArray[np.floating[Any]],
    low: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    anchors: NDArray[np.int64],
    k: int,
    threads: int,
) -> Neighbourhoods:
    """Compare the ranks of all points as seen from each anchor.

    Args:
        high: (n, D), float32 or float64.
        low: (n, d), float64.
        labels: (n,), from 0 up; all 0 if there are none.
        anchors: (A,), rows of the anchors.
        k: size of a neighbourhood, except for the figures by `sizes`.
        threads: number of threads that share the anchors; it does not change the result.
    """
    n, grid = len(high), sizes(len(high))
    excess = np.zeros((len(anchors), 2), np.int64)
    hits = np.zeros((len(anchors), 2), np.int64)
    kept = np.zeros((len(anchors), len(grid) + 1), np.int64)
    area = np.zeros(len(anchors))
    work = partial(
        _comparison(len(anchors) * len(high)),
        np.ascontiguousarray(high.T),
        np.ascontiguousarray(low.T),
        labels=labels,
        n_classes=int(labels.max()) + 1,
        k=k,
        slots=np.searchsorted(grid, np.arange(n)),
        weights=_area_weights(n),
        mask=index_mask(n),
    )

    def chunk(start: int) -> None:
        part = slice(start, start + _CHUNK)
        work(
            anchors=anchors[part],
            excess=excess[part],
            hits=hits[part],
            kept=kept[part],
            area=area[part],
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(chunk, range(0, len(anchors), _CHUNK)))
    trust, continuity = _without_excess(excess.T, n, k)
    return Neighbourhoods(
        trustworthiness=trust,
        continuity=continuity,
        q_nx=kept[:, :-1].cumsum(axis=1) / grid,
        auc_r_nx=area - 1,
        hits_map=hits[:, 0].astype(np.float64),
        hits_latents=hits[:, 1].astype(np.float64),
    )


def _without_excess(excess: NDArray[np.int64], n: int, k: int) -> NDArray[np.float64]:
    """Divide sums of rank excesses by the worst possible sum, equal for all, and return 1 - it."""
    share: NDArray[np.float64] = 1 - excess / (k * (2 * n - 3 * k - 1) / 2)
    return share


def point_trust(
    high: NDArray[np.floating[Any]],
    low: NDArray[np.floating[Any]],
    k: int,
    threads: int,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the trustworthiness (n,) of the points of a map, NaN for those left out.

    Points are left out at random if all are more than `TRUST_WORK`. Distances are float32, so a
    rank may differ by a few from that of `look_around`.

    Args:
        high: (n, D), the vectors.
        low: (n, d), the map.
        k: size of a neighbourhood, from 1 to (n - 1) / 2.
        threads: number of threads that share the points; it does not change the result.
        seed: seed of the choice of points.
    """
    n = len(high)
    if n**2 <= uncompiled_ranks.MOST:
        all_equal, rows = np.zeros(n, np.int64), np.arange(n)
        return look_around(high, low, all_equal, rows, k, threads).trustworthiness
    from latentkit.maps.ranks import sum_trust_excess
    from latentkit.neighbors import NeighborIndex

    count = min(n, int(TRUST_WORK / high.size))
    anchors = np.sort(np.random.default_rng([seed, 2]).choice(n, count, replace=False))
    near = NeighborIndex(low).neighbors(k).indices[anchors]
    excess = np.zeros(count, np.int64)
    columns = np.ascontiguousarray(high.T, np.float32)

    def chunk(start: int) -> None:
        part = slice(start, start + _CHUNK)
        sum_trust_excess(columns, near[part], anchors[part], excess[part])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(chunk, range(0, count, _CHUNK)))
    trust = np.full(n, np.nan)
    trust[anchors] = _without_excess(excess, n, k)
    return trust


def _comparison(distances: int) -> Callable[..., None]:
    """Return the function that compares ranks; few distances are not worth compiling for."""
    if distances <= uncompiled_ranks.MOST:
        return uncompiled_ranks.compare_few_ranks
    from latentkit.maps.ranks import compare_ranks

    return compare_ranks


def _area_weights(n: int) -> NDArray[np.float64]:
    """Return what a point adds to the area if the larger of its two ranks is 0, 1, ..., n - 1.

    The area is the sum of R_NX(k)/k divided by the sum of 1/k, for k from 1 to n - 2. R_NX(k)
    counts the points whose larger rank is k or less, so each point adds a tail of the sum over k.
    What R_NX subtracts for chance adds up to 1.
    """
    k = np.arange(1, n - 1, dtype=np.float64)
    terms = (n - 1) / (k * k * (n - 1 - k)) / (1 / k).sum()
    weights = np.zeros(n)
    weights[1 : n - 1] = terms[::-1].cumsum()[::-1]
    return weights


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
    if len(distances) <= uncompiled_ranks.MOST:
        return uncompiled_ranks.few_doubled_mid_ranks(distances, mask)
    from latentkit.maps.ranks import doubled_mid_ranks

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


FEWEST_POINTS = 5
EXACT_LIMIT = 10_000
ANCHORS = 2_000
TRUST_WORK = (
    3.2e11  # multiplications: all of 100,000 points of 32 dimensions, about 30 s on 2 cores
)
EXACT_PAIRS_LIMIT = 5_000
PAIRS = 1_000_000


@dataclass(frozen=True)
class Preservation:
    """How many of the k nearest neighbours in the latents are among the k nearest in the map.

    Args:
        k: size of the neighbourhoods.
        q_nx: the share of neighbours that is kept; a random map keeps k / (n - 1).
        r_nx: that share, rescaled so that a random map has 0 and a perfect map has 1.
    """

    k: int
    q_nx: Estimate
    r_nx: Estimate


@dataclass(frozen=True)
class MapQuality:
    """Measured quality of a map.

    Args:
        n_points: number of points in the map.
        n_anchors: number of points whose neighbourhoods were compared in full.
        n_pairs: number of pairs of points whose distances were compared.
        n_neighbors: size of the neighbourhoods, unless stated otherwise.
        trustworthiness: 1 if all neighbours in the map are neighbours in the latents, else less.
        continuity: 1 if all neighbours in the latents are neighbours in the map, else less.
        neighbourhood_preservation: Q_NX and R_NX at k = 1, 2, 5, 10, ... up to n - 2.
        auc_r_nx: the mean of R_NX(k) over all k from 1 to n - 2, each with the weight 1/k.
        knn_accuracy_map: share of anchors whose label is the most common one among their
            neighbours in the map, without the anchor itself; None without labels.
        knn_accuracy_latents: the same for neighbours in the latents.
        spearman_correlation: rank correlation of distances in the latents and the map; None if all
            distances of one of them are equal.
        scale_normalised_stress: difference between distances in the latents and in the map at its
            best scale, 0 to 1; None if all latents are equal.
        point_trustworthiness: (n,), float32, trustworthiness of each point, NaN for points beyond
            what `TRUST_WORK` allows; not part of `as_dict`.
    """

    n_points: int
    n_anchors: int
    n_pairs: int
    n_neighbors: int
    trustworthiness: Estimate
    continuity: Estimate
    neighbourhood_preservation: tuple[Preservation, ...]
    auc_r_nx: Estimate
    knn_accuracy_map: Estimate | None
    knn_accuracy_latents: Estimate | None
    spearman_correlation: Estimate | None
    scale_normalised_stress: Estimate | None
    point_trustworthiness: NDArray[np.float32] = field(compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        document = asdict(self)
        del document["point_trustworthiness"]
        return document


def map_quality(
    vectors: NDArray[np.floating[Any]],
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    *,
    n_neighbors: int = 10,
    seed: int = 0,
    threads: int = 1,
) -> MapQuality:
    """Compare a map with the vectors that it maps.

    Points at equal distances from an anchor (duplicates, or a map of one point) are ordered by
    their rows, in both spaces. `latentkit.maps.ranks` says which distances count as equal.

    Args:
        vectors: (N, D), the vectors that were mapped.
        coordinates: (N, 2 or 3), the map.
        labels: (N,), or None.
        n_neighbors: neighbourhood size; reduced to (N - 1) // 2 if it is larger.
        seed: seed for the choice of anchors and pairs.
        threads: number of threads; it does not change the result.

    Raises:
        ValueError: there are fewer than 5 points, the arrays differ in length, or a number is not
            finite.
    """
    n = len(vectors)
    if n < FEWEST_POINTS or len(coordinates) != n or (labels is not None and len(labels) != n):
        raise ValueError("map quality needs 5 points or more, and arrays of equal length")
    k = min(n_neighbors, (n - 1) // 2)
    high, low = _scaled(vectors, np.float32), _scaled(coordinates, np.float64)
    classes = np.zeros(n, np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    anchors = _anchors(n, seed)
    found = look_around(high, low, classes.astype(np.int64), anchors, k, threads)
    pairs = pair_distances(high, low, None if n <= EXACT_PAIRS_LIMIT else PAIRS, seed)
    points = found.trustworthiness
    if len(anchors) < n:
        points = point_trust(high, low, k, threads, seed)
    return MapQuality(
        n_points=n,
        n_anchors=len(anchors),
        n_pairs=len(pairs.high),
        n_neighbors=k,
        trustworthiness=mean_of_sample(points[np.isfinite(points)], n),
        continuity=mean_of_sample(found.continuity, n),
        neighbourhood_preservation=_preservation(found.q_nx, n),
        auc_r_nx=mean_of_sample(found.auc_r_nx, n),
        knn_accuracy_map=None if labels is None else mean_of_sample(found.hits_map, n),
        knn_accuracy_latents=None if labels is None else mean_of_sample(found.hits_latents, n),
        spearman_correlation=spearman_correlation(pairs),
        scale_normalised_stress=scale_normalised_stress(pairs),
        point_trustworthiness=points.astype(np.float32),
    )


def _anchors(n: int, seed: int) -> NDArray[np.int64]:
    if n <= EXACT_LIMIT:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, 0]).choice(n, ANCHORS, replace=False))


def _scaled(
    points: NDArray[np.floating[Any]], least: type[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Scale points near 1 by a power of two, so that squares neither overflow nor vanish."""
    points = np.asarray(points, dtype=np.result_type(points, least))
    largest = float(np.abs(points).max())
    if not np.isfinite(largest):
        raise ValueError("map quality needs finite vectors and coordinates")
    scaled: NDArray[np.floating[Any]] = np.ldexp(points, -int(np.frexp(largest)[1]))
    return scaled


def _preservation(q_nx: NDArray[np.float64], n: int) -> tuple[Preservation, ...]:
    """Return the figures for each size, from the shares (A, sizes) around the anchors."""
    rows = []
    for k, shares in zip(sizes(n).tolist(), q_nx.T, strict=True):
        q = mean_of_sample(shares, n)
        scale = (n - 1) / (n - 1 - k)
        r = Estimate(scale * q.value - k / (n - 1 - k), scale * q.standard_error)
        rows.append(Preservation(k, q, r))
    return tuple(rows)
