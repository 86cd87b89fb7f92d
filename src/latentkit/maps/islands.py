"""Islands of a map, and the verdict on each pair: apart in the latents too, or only on the map.

Islands are clusters of the map's points by HDBSCAN (R. Campello et al. 2015). Clusters that the map
itself does not keep `APART` are one island, so every pair of islands has a gap on the map.
The verdict says whether `latentkit.maps.gaps` finds it in the latents, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.maps.gaps import APART, ERRORS_OF_MAP, TOUCHING, Gap, gap_between
from latentkit.plugin.seeds import stream_seed

MOST_ISLANDS = 20
NO_ISLAND = -1
FEWEST = 20
"""A map of fewer points is one island."""

_SAMPLE = 10_000  # points that HDBSCAN clusters; the others follow the nearest of them
_SMALLEST = 15  # points of an island
_LARGEST_SHARE = 100  # an island has at least one in so many points
_CORE = 5  # neighbours that HDBSCAN takes a density from
_SHORE = 200  # points of a cluster that its distance to others is taken from
_NEAREST = 4  # clusters beside each that it may be one island with
_MAP_DRAWS = 4

Points = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """The verdict on two groups of points.

    Args:
        first: number of the one.
        second: number of the other.
        verdict: ``apart``, ``touching``, ``only on the map``, ``only in the latents``, ``joined``
            (in both), or ``not decided``.
        latents: gap in the latents.
        on_map: gap on the map.
        maps_apart: number of refitted maps on which the two are apart; None without refits.
    """

    first: int
    second: int
    verdict: str
    latents: Gap
    on_map: Gap
    maps_apart: int | None = None


def verdict(latents: Gap, on_map: Gap) -> str:
    """Return what two groups are, from their gaps in the latents and on the map."""
    on_map_apart = on_map.value >= APART
    if latents.kind == "apart":
        return "apart" if on_map_apart else "only in the latents"
    if latents.kind == "joined" and on_map_apart:
        return "only on the map"
    return latents.kind


def find_islands(coordinates: Points, seed: int) -> Labels:
    """Return the island (N,) of each point of a map, the largest first.

    Args:
        coordinates: (N, 2 or 3).
        seed: seed of the sampling.

    Returns:
        Numbers from 0; `NO_ISLAND` for points beyond the `MOST_ISLANDS` largest.
    """
    n = len(coordinates)
    generator = np.random.default_rng(stream_seed(seed, "map-islands"))
    if n < FEWEST or not np.ptp(coordinates, axis=0).any():
        return np.zeros(n, np.int64)
    labels = _clusters(coordinates, generator)
    labels = _joined(coordinates, labels, generator)
    sizes = np.bincount(labels)
    place = np.empty(len(sizes), np.int64)
    place[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    islands = place[labels]
    islands[islands >= MOST_ISLANDS] = NO_ISLAND
    return islands


def _clusters(coordinates: Points, generator: np.random.Generator) -> Labels:
    """Return the cluster of each point; points outside clusters follow the nearest one inside."""
    from sklearn.cluster import HDBSCAN

    from latentkit.neighbors import NeighborIndex

    n = len(coordinates)
    rows = np.sort(generator.choice(n, min(n, _SAMPLE), replace=False))
    size = max(_SMALLEST, len(rows) // _LARGEST_SHARE)
    found = HDBSCAN(min_cluster_size=size, min_samples=_CORE, copy=True).fit_predict(
        coordinates[rows]
    )
    inside = found >= 0
    if not inside.any():
        return np.zeros(n, np.int64)
    nearest = NeighborIndex(coordinates[rows[inside]]).query(coordinates, 1).indices[:, 0]
    labels: Labels = found[inside][nearest].astype(np.int64)
    labels[rows[inside]] = found[inside]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _joined(coordinates: Points, labels: Labels, generator: np.random.Generator) -> Labels:
    """Return labels in which clusters that the map does not keep apart are one."""
    groups = [coordinates[labels == one] for one in range(int(labels.max()) + 1)]
    links = [
        (a, b)
        for a, b in sorted(_neighbouring(groups, generator))
        if _gap_on_map(groups[a], groups[b], generator).value < APART
    ]
    return connected(len(groups), links)[labels]


def _neighbouring(groups: Sequence[Points], generator: np.random.Generator) -> set[tuple[int, int]]:
    """Return the pairs of groups of which one is among the nearest of the other."""
    from scipy.spatial.distance import cdist

    shores = [group[generator.permutation(len(group))[:_SHORE]] for group in groups]
    away = np.full((len(groups), len(groups)), np.inf)
    for a, b in combinations(range(len(groups)), 2):
        away[a, b] = away[b, a] = cdist(shores[a], shores[b]).min()
    nearest = np.argsort(away, axis=1, kind="stable")[:, : min(_NEAREST, len(groups) - 1)]
    return {(min(a, b), max(a, b)) for a, row in enumerate(nearest.tolist()) for b in row}


def connected(count: int, links: Sequence[tuple[int, int]]) -> Labels:
    """Return the component (count,) of each of ``count`` groups, from pairs that belong together.

    Components are numbered in the order of their first group.
    """
    component = np.arange(count)
    for a, b in links:
        low, high = sorted((component[a], component[b]))
        component[component == high] = low
    return np.unique(component, return_inverse=True)[1].astype(np.int64)


def compare_pairs(
    vectors: Points,
    coordinates: Points,
    groups: Labels,
    seed: int,
    refits: Sequence[tuple[Labels, Points]] = (),
) -> list[Pair]:
    """Return the verdict on each pair of groups of points.

    Groups that join, directly or through others that are between them, are one group in the
    latents. So two pieces of one cloud are ``only on the map`` although a third piece lies between
    them.

    Args:
        vectors: (N, D), what was mapped.
        coordinates: (N, 2 or 3), the map.
        groups: (N,), from 0; points below 0 belong to no group.
        seed: seed of the draws.
        refits: rows (M,) and coordinates (M, 2 or 3) of each refitted map.
    """
    generator = np.random.default_rng(stream_seed(seed, "map-gaps"))
    members = [np.flatnonzero(groups == one) for one in range(int(groups.max(initial=-1)) + 1)]
    known = [one for one, rows in enumerate(members) if len(rows) >= _SMALLEST]
    pairs = []
    for a, b in combinations(known, 2):
        rows = members[a], members[b]
        latents = gap_between(vectors[rows[0]], vectors[rows[1]], generator)
        on_map = _gap_on_map(coordinates[rows[0]], coordinates[rows[1]], generator)
        apart = sum(_are_apart(one, groups, (a, b), generator) for one in refits)
        found = verdict(latents, on_map)
        pairs.append(Pair(a, b, found, latents, on_map, apart if refits else None))
    return _through_others(pairs, len(members))


def _are_apart(
    refit: tuple[Labels, Points],
    groups: Labels,
    pair: tuple[int, int],
    generator: np.random.Generator,
) -> bool:
    rows, coordinates = refit
    first, second = (coordinates[groups[rows] == one] for one in pair)
    if min(len(first), len(second)) < 4:
        return False
    return _gap_on_map(first, second, generator, 1).value >= APART


def _gap_on_map(
    first: Points, second: Points, generator: np.random.Generator, draws: int = _MAP_DRAWS
) -> Gap:
    return gap_between(first, second, generator, draws=draws, errors=ERRORS_OF_MAP)


def _through_others(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Give pairs of one group in the latents the verdict of pairs that join directly."""
    links = [(one.first, one.second) for one in pairs if one.latents.value < TOUCHING]
    group = connected(count, links)
    return [
        replace(one, verdict="only on the map" if one.on_map.value >= APART else "joined")
        if group[one.first] == group[one.second]
        else one
        for one in pairs
    ]


def groups_in_latents(pairs: Sequence[Pair], count: int) -> list[list[int]]:
    """Return the groups of islands that are one in the latents, each in ascending order."""
    same = ("only on the map", "joined")
    links = [(one.first, one.second) for one in pairs if one.verdict in same]
    component = connected(count, links)
    return [np.flatnonzero(component == one).tolist() for one in np.unique(component)]
