"""Quality of a map: how well it preserves the neighbourhoods and distances of its vectors.

Up to `EXACT_LIMIT` points, every point is an anchor. Above that, `ANCHORS` are sampled. Each is
still compared with all points, so the estimate is unbiased. Correlation and stress of distances use
all pairs up to `EXACT_PAIRS_LIMIT` points, and `PAIRS` sampled pairs above that. Both are functions
of means over pairs. Their bias is far below their standard error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation.estimates import Estimate, mean_of_sample
from latentkit.evaluation.neighbourhoods import look_around, sizes
from latentkit.evaluation.pair_distances import (
    pair_distances,
    scale_normalised_stress,
    spearman_correlation,
)

EXACT_LIMIT = 10_000
ANCHORS = 2_000
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
        n_anchors: number of points whose neighbourhoods were compared.
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
        point_trustworthiness: (n,), float32, trustworthiness of each anchor, NaN for other points;
            not part of `as_dict`.
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
    their rows, in both spaces. `latentkit.evaluation.ranks` says which distances count as equal.

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
    if n < 5 or len(coordinates) != n or (labels is not None and len(labels) != n):
        raise ValueError("map quality needs 5 points or more, and arrays of equal length")
    k = min(n_neighbors, (n - 1) // 2)
    high, low = _scaled(vectors, np.float32), _scaled(coordinates, np.float64)
    classes = np.zeros(n, np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    anchors = _anchors(n, seed)
    found = look_around(high, low, classes.astype(np.int64), anchors, k, threads)
    pairs = pair_distances(high, low, None if n <= EXACT_PAIRS_LIMIT else PAIRS, seed)
    points = np.full(n, np.nan, np.float32)
    points[anchors] = found.trustworthiness
    return MapQuality(
        n_points=n,
        n_anchors=len(anchors),
        n_pairs=len(pairs.high),
        n_neighbors=k,
        trustworthiness=mean_of_sample(found.trustworthiness, n),
        continuity=mean_of_sample(found.continuity, n),
        neighbourhood_preservation=_preservation(found.q_nx, n),
        auc_r_nx=mean_of_sample(found.auc_r_nx, n),
        knn_accuracy_map=None if labels is None else mean_of_sample(found.hits_map, n),
        knn_accuracy_latents=None if labels is None else mean_of_sample(found.hits_latents, n),
        spearman_correlation=spearman_correlation(pairs),
        scale_normalised_stress=scale_normalised_stress(pairs),
        point_trustworthiness=points,
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
