"""Neighbourhoods in latents and map, compared by the ranks of distances around each anchor.

Trustworthiness and continuity follow J. Venna and S. Kaski (2001), scaled as in scikit-learn: 1 is
perfect, and a random map gets about 0.5. Q_NX(k) is the share of an anchor's k nearest in the
latents that are among its k nearest in the map. R_NX(k) is Q_NX(k), scaled so that a random map
gets 0. Both follow J. A. Lee et al. (2013). The area under R_NX over the logarithm of k follows
Lee, Peluffo-Ordóñez and Verleysen (2015). The area includes every k from 1 to n - 2, not a grid of
k, so only the anchors are sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation import few_ranks
from latentkit.evaluation.rank_keys import index_mask

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
        threads: number of threads that share the anchors. It does not change the result because
            each anchor is computed separately.
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
    # Divide by the worst possible sum of rank excesses, which is equal for all anchors.
    trust, continuity = 1 - excess.T / (k * (2 * n - 3 * k - 1) / 2)
    return Neighbourhoods(
        trustworthiness=trust,
        continuity=continuity,
        q_nx=kept[:, :-1].cumsum(axis=1) / grid,
        auc_r_nx=area - 1,
        hits_map=hits[:, 0].astype(np.float64),
        hits_latents=hits[:, 1].astype(np.float64),
    )


def _comparison(distances: int) -> Callable[..., None]:
    """Return the function that compares ranks; few distances are not worth compiling for."""
    if distances <= few_ranks.MOST:
        return few_ranks.compare_few_ranks
    from latentkit.evaluation.ranks import compare_ranks

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
