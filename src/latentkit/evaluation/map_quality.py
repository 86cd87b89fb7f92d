"""How far a map can be trusted: neighbourhoods and distances before and after.

Trustworthiness and continuity follow J. Venna and S. Kaski (2001) as scikit-learn scales them:
1 is perfect, and about 0.5 is what a random map gets. Up to `EXACT_LIMIT` points every point is
an anchor; above, anchors are sampled, each still compared with all points, and the standard
error of the mean is given. Distances are float64 and computed directly, not through inner
products, whose cancellation would shuffle the ranks of near points.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EXACT_LIMIT = 5_000
ANCHORS = 2_000
_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Estimate:
    """A mean over anchors, with its standard error (0 where every point is an anchor)."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class MapQuality:
    """The verdict on a map.

    Args:
        n_points: points of the map.
        n_anchors: points whose neighbourhoods were looked at.
        n_neighbors: size of those neighbourhoods.
        trustworthiness: how few of the map's neighbours are strangers in the latents.
        continuity: how few of the latents' neighbours are torn away in the map.
        distance_correlation: Spearman correlation of all distances from the anchors.
        knn_accuracy_map: share of anchors whose label most of their neighbours in the map
            share, each anchor left out; None without labels.
        knn_accuracy_latents: the same by neighbours in the latents.
    """

    n_points: int
    n_anchors: int
    n_neighbors: int
    trustworthiness: Estimate
    continuity: Estimate
    distance_correlation: Estimate
    knn_accuracy_map: Estimate | None
    knn_accuracy_latents: Estimate | None

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON object."""
        return asdict(self)


def map_quality(
    vectors: NDArray[np.floating[Any]],
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    *,
    n_neighbors: int = 10,
    seed: int = 0,
) -> MapQuality:
    """Compare a map with the vectors that it maps.

    Args:
        vectors: (N, D), what was mapped.
        coordinates: (N, 2 or 3), the map.
        labels: (N,), or None.
        n_neighbors: neighbourhood size; cut to what N allows, (N - 1) // 2.
        seed: for the choice of anchors.

    Raises:
        ValueError: there are fewer than 5 points, or the arrays do not belong together.
    """
    n = len(vectors)
    if n < 5 or len(coordinates) != n:
        raise ValueError("a map is judged on 5 points or more, each with its coordinates")
    k = min(n_neighbors, (n - 1) // 2)
    high = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float64))
    low = torch.from_numpy(np.ascontiguousarray(coordinates, dtype=np.float64))
    known = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels)).long()
    anchors = torch.from_numpy(_anchors(n, seed))
    rows = max(1, _BLOCK_BYTES // (8 * n))
    columns = torch.cat(
        [_judge_block(high, low, known, block, k) for block in torch.split(anchors, rows)], dim=1
    )
    sampled = len(anchors) < n
    trust, continuity, correlation, *accuracies = (_mean(c, sampled) for c in columns)
    return MapQuality(
        n_points=n,
        n_anchors=len(anchors),
        n_neighbors=k,
        trustworthiness=trust,
        continuity=continuity,
        distance_correlation=correlation,
        knn_accuracy_map=accuracies[0] if accuracies else None,
        knn_accuracy_latents=accuracies[1] if accuracies else None,
    )


def _anchors(n: int, seed: int) -> NDArray[np.int64]:
    if n <= EXACT_LIMIT:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, ANCHORS, replace=False))


def _judge_block(
    high: Tensor, low: Tensor, labels: Tensor | None, anchors: Tensor, k: int
) -> Tensor:
    """Return a row for each figure and a column for each anchor of a block."""
    n = len(high)
    far, near = _distances(high, anchors), _distances(low, anchors)
    neighbors_high = far.topk(k, largest=False).indices
    neighbors_low = near.topk(k, largest=False).indices
    # An anchor's worst possible sum of rank excesses is the same for all anchors.
    worst = k * (2 * n - 3 * k - 1) / 2
    rows = [
        1 - _rank_excess(far, neighbors_low, k) / worst,
        1 - _rank_excess(near, neighbors_high, k) / worst,
        _spearman(far, near),
    ]
    if labels is not None:
        own = labels[anchors]
        rows += [
            (labels[neighbors].mode(dim=1).values == own).double()
            for neighbors in (neighbors_low, neighbors_high)
        ]
    return torch.stack(rows)


def _distances(points: Tensor, anchors: Tensor) -> Tensor:
    """Return distances (B, N) from each anchor; its own is infinite."""
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(points[anchors], points, compute_mode=exact)
    return distances.scatter_(1, anchors[:, None], math.inf)


def _rank_excess(distances: Tensor, neighbors: Tensor, k: int) -> Tensor:
    """Sum, over each anchor's ``neighbors``, by how much their rank in ``distances`` exceeds k."""
    ordered = distances.sort(dim=1).values
    ranks = torch.searchsorted(ordered, distances.gather(1, neighbors)) + 1
    return (ranks - k).clamp_(min=0).sum(1).double()


def _spearman(a: Tensor, b: Tensor) -> Tensor:
    """Return each row's rank correlation; the infinite entry, last in both, is left out."""
    ranks = []
    for distances in (a, b):
        order = distances.argsort(dim=1)
        positions = torch.arange(a.shape[1], dtype=torch.float64).expand_as(order)
        ranks.append(torch.empty_like(a).scatter_(1, order, positions))
    n = a.shape[1] - 1
    squared = (ranks[0] - ranks[1]).square().sum(1)
    return 1 - 6 * squared / (n * (n * n - 1))


def _mean(values: Tensor, sampled: bool) -> Estimate:
    error = float(values.std()) / math.sqrt(len(values)) if sampled else 0.0
    return Estimate(float(values.mean()), error)
