"""Stability of a map: how far its points move when it is fitted again.

Each refit has another seed and leaves out another fifth of the points, so that it shows what seed
and sample decide. It is aligned to the map by Procrustes analysis with one scale. Bootstraps of
maps with Procrustes analysis follow E. Sun, R. Ma and J. Zou (2023); points are left out rather
than drawn twice, because a point and its copy are neighbours in any map. Leaving points out to see
whether a map is continuous there follows Z. Liu, R. Ma and Y. Zhong (arXiv 2410.16608).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.maps.alignment import align
from latentkit.maps.fitting import fit_embedding
from latentkit.maps.islands import Pair, compare_pairs, find_islands, groups_in_latents
from latentkit.plugin.events import Event, Listener, StageProgress, ignore
from latentkit.plugin.seeds import short_stream_seed, stream_seed
from latentkit.training.processes import Arrays, Pieces, Processes, current, piece

FEWEST_POINTS = 20
"""Points that a map needs for its stability to be measured."""

_FOLDS = 5  # a refit leaves out one in so many points
_NEIGHBOURS = 10
_MOST_CLASSES = 20

Points = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Stability:
    """How a map changes when it is fitted again.

    Args:
        arrays: ``spread`` (N,), how far each point moves; ``neighbours_kept`` (N,), the share of
            its neighbours that stay; ``island`` (N,), from 0, -1 for none.
        document: the figures as JSON.
    """

    arrays: dict[str, NDArray[Any]]
    document: dict[str, Any]


def measure_stability(
    part: MapConfig,
    vectors: NDArray[np.float32],
    coordinates: Points,
    labels: NDArray[np.int64] | None,
    *,
    seed: int,
    emit: Listener,
) -> Stability:
    """Fit a map again, as often as its options say, and compare its islands with the latents.

    Args:
        part: the embedding; ``map.stability`` is the number of refits.
        vectors: (N, D), at least `FEWEST_POINTS`.
        coordinates: (N, 2 or 3), the map.
        labels: (N,), or None.
        seed: the run's seed.
        emit: receives progress events.

    Raises:
        LatentkitError: as `fit_embedding`.
    """
    started = time.perf_counter()
    refits, disparities = _refits(part, vectors, coordinates, labels, seed, emit)
    spread, kept = point_stability(coordinates, refits)
    islands = find_islands(coordinates, seed)
    pairs = compare_pairs(vectors, coordinates, islands, seed, refits)
    document = {
        "refits": len(refits),
        "share_of_points": 1 - 1 / _FOLDS,
        "spread": _quantiles(spread),
        "neighbours_kept": _mean(kept),
        "disparity": _mean(np.array(disparities)),
        "islands": _islands(islands, labels),
        "groups_in_latents": groups_in_latents(pairs, int(islands.max()) + 1),
        "pairs": [_pair(one) for one in pairs],
        "classes": _classes(vectors, coordinates, labels, seed, refits),
        "seconds": time.perf_counter() - started,
    }
    arrays: dict[str, NDArray[Any]] = {
        "spread": spread.astype(np.float32),
        "neighbours_kept": kept.astype(np.float32),
        "island": islands.astype(np.int16),
    }
    return Stability(arrays, document)


def _refits(
    part: MapConfig,
    vectors: NDArray[np.float32],
    coordinates: Points,
    labels: NDArray[np.int64] | None,
    seed: int,
    emit: Listener,
) -> tuple[list[tuple[Rows, Points]], list[float]]:
    """Return rows and aligned coordinates of each refit, and its disparity from the map."""
    points: Arrays = {"vectors": vectors, "coordinates": coordinates}
    if labels is not None:
        points["labels"] = labels
    processes = current()
    if processes is not None:
        processes.order(f"embed:{part.slug}")
        processes.arrays_from_leader(points)
    found = [piece(name, make) for name, make in _pieces(part, points, seed, emit).items()]
    return (
        [
            (rows_of_refit(len(vectors), number, seed), one["coordinates"])
            for number, one in enumerate(found)
        ],
        [float(one["disparity"]) for one in found],
    )


def follow_refits(part: MapConfig, seed: int, processes: Processes) -> None:
    """Do refits of a map with the points that process 0 gives."""
    processes.help_with(_pieces(part, processes.arrays_from_leader(), seed, ignore))


def _pieces(part: MapConfig, points: Arrays, seed: int, emit: Listener) -> Pieces:
    return {
        f"refit {number}": partial(_refit, part, points, seed, emit, number)
        for number in range(part.map.stability)
    }


def _refit(part: MapConfig, points: Arrays, seed: int, emit: Listener, number: int) -> Arrays:
    """Return the aligned ``coordinates`` (M, 2 or 3) of a refit, and its ``disparity`` ()."""
    vectors, labels = points["vectors"], points.get("labels")
    rows = rows_of_refit(len(vectors), number, seed)
    again, _ = fit_embedding(
        part.build(short_stream_seed(seed, "embedding", f"{part.name}-{number}")),
        part.name,
        np.ascontiguousarray(vectors[rows]),
        None if labels is None else labels[rows],
        stage=f"embed:{part.slug}",
        emit=_Refitting(emit, number, part.map.stability),
    )
    disparity = 1.0
    with suppress(ValueError):  # all points of one map are equal
        alignment = align(again, points["coordinates"][rows])
        again, disparity = alignment(again), alignment.disparity
    return {"coordinates": again, "disparity": np.array(disparity)}


class _Refitting:
    """Forwards progress with the number of the refit, and leaves out its notices."""

    def __init__(self, emit: Listener, number: int, count: int) -> None:
        self._emit = emit
        self._which = f"refit {number + 1} of {count}"

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            self._emit(replace(event, detail=f"{self._which}: {event.detail}"))


def rows_of_refit(n: int, number: int, seed: int) -> Rows:
    """Return the rows, four fifths of n, that a refit has.

    Five refits in a row leave out each point once.
    """
    turn, fold = divmod(number, _FOLDS)
    order = np.random.default_rng([stream_seed(seed, "map-refits"), turn]).permutation(n)
    return np.sort(np.concatenate([order[one::_FOLDS] for one in range(_FOLDS) if one != fold]))


def point_stability(
    coordinates: Points, refits: Sequence[tuple[Rows, Points]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far each point (N,) moves in refits, and the share (N,) of neighbours it keeps.

    A point's distance is the median over the refits that have it, as a share of the map's size,
    which is the root mean square distance of its points from their mean. Its neighbours are the 10
    nearest in the map among the points of the refit. Both are NaN for a map of one point.

    Args:
        coordinates: (N, 2 or 3), the map.
        refits: rows (M,) and aligned coordinates (M, 2 or 3) of each refit.
    """
    n = len(coordinates)
    size = float(np.sqrt(np.square(coordinates - coordinates.mean(0)).sum(1).mean()))
    moved = np.full((len(refits), n), np.nan)
    kept = np.full((len(refits), n), np.nan)
    if size:
        for number, (rows, again) in enumerate(refits):
            moved[number, rows] = np.linalg.norm(again - coordinates[rows], axis=1) / size
            kept[number, rows] = _neighbours_kept(coordinates[rows], again)
    known = np.isfinite(moved).any(0)
    spread, share = np.full(n, np.nan), np.full(n, np.nan)
    spread[known] = np.nanmedian(moved[:, known], axis=0)
    share[known] = np.nanmean(kept[:, known], axis=0)
    return spread, share


def _neighbours_kept(before: Points, after: Points) -> NDArray[np.float64]:
    from latentkit.neighbors import NeighborIndex

    k = min(_NEIGHBOURS, (len(before) - 1) // 2)
    found, again = (NeighborIndex(points).neighbors(k).indices for points in (before, after))
    share: NDArray[np.float64] = (found[:, :, None] == again[:, None, :]).any(2).mean(1)
    return share


def _quantiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    names = ("median", "most")  # of nine tenths of the points
    return dict(zip(names, map(float, np.percentile(known, (50, 90))), strict=True))


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _islands(islands: Rows, labels: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    """Return the number of points of each island, and its most common label with its share."""
    found: list[dict[str, Any]] = []
    for one in range(int(islands.max()) + 1):
        rows = np.flatnonzero(islands == one)
        facts: dict[str, Any] = {"island": one + 1, "n_points": len(rows)}
        if labels is not None:
            counts = np.bincount(labels[rows])
            facts |= {"label": int(counts.argmax()), "share": float(counts.max() / len(rows))}
        found.append(facts)
    return found


def _classes(
    vectors: Points,
    coordinates: Points,
    labels: NDArray[np.int64] | None,
    seed: int,
    refits: Sequence[tuple[Rows, Points]],
) -> list[dict[str, Any]]:
    """Return the verdict on each pair of classes, by label, of at most the 20 largest."""
    if labels is None:
        return []
    counts = np.bincount(labels)
    largest = np.sort(np.argsort(-counts, kind="stable")[:_MOST_CLASSES])
    place = np.full(len(counts), -1)
    place[largest] = np.arange(len(largest))
    pairs = compare_pairs(vectors, coordinates, place[labels], seed, refits)
    return [
        {**_pair(one), "pair": [int(largest[one.first]), int(largest[one.second])]} for one in pairs
    ]


def _pair(one: Pair) -> Mapping[str, Any]:
    """Return a pair as JSON; islands are numbered from 1."""
    return {
        "pair": [one.first + 1, one.second + 1],
        "verdict": one.verdict,
        "latents": asdict(one.latents),
        "map": asdict(one.on_map),
        "maps_apart": one.maps_apart,
    }
