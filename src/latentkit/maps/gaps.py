"""Gaps: whether a sparse region separates two groups of points, in a map or in the latents.

Two groups are apart if every way from one to the other crosses a region of lower density (J.
Hartigan 1975; K. Chaudhuri and S. Dasgupta 2010). The density at a point follows from the distance
to its k-th nearest. Single linkage on the mutual reachability distance of HDBSCAN (R. Campello et
al. 2015) finds the densest way, and so the density at its sparsest place, the crossing.

The gap is the share of each group, the smaller of the two, that is denser than the crossing by a
margin. It is a runt statistic (J. Hartigan and S. Mohanty 1992). The margin is there because
densities vary by chance, and a map tears where they are low by chance: a factor of 2.4 for
densities from 20 neighbours, of 6 from 5. The larger of these two figures counts, because 5
neighbours see what is thin, and 20 what is wide. The gap is 0 for the halves of one cloud, and 1
for clusters that are far apart. As a share, it depends neither on units nor on the number of
dimensions.

In many dimensions few points say little about density. So the gap is also measured in the plane of
the direction that separates the groups best and the direction of largest variance across it, as in
ISO-SPLIT (J. Magland and A. Barnett 2015). The direction is fitted to other points than the gap is
measured on, because a direction can separate the points that it is fitted to by chance. A
projection can hide a gap but make none, so the larger gap counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

APART = 0.5
"""Gap from which groups are apart: two Gaussians whose centres are 5 standard deviations apart."""
TOUCHING = 0.2
"""Gap from which groups touch; below it, nothing shows that they are two."""

_NEIGHBOURS = (20, 5)  # from which a density follows; half of the smaller group, if that is less
_ERRORS = 2.8  # standard errors of a log density that make the margin
ERRORS_OF_MAP = 1.1
"""The same for a map, which is no sample: its gaps are what a reader sees."""

_MOST = 300  # points of a group in a draw
_SHARE = 0.8  # of the points of a group in a draw
_DRAWS = 8
_PLANE = 2

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Gap:
    """The gap between two groups: the median over draws of their points, with a 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def kind(self) -> str:
        """Return ``apart``, ``touching``, ``joined``, or ``not decided`` between apart and not."""
        if self.low >= APART:
            return "apart"
        if self.high >= APART:
            return "not decided"
        return "touching" if self.value >= TOUCHING else "joined"


def gap_between(
    first: Floats,
    second: Floats,
    generator: np.random.Generator,
    *,
    draws: int = _DRAWS,
    errors: float = _ERRORS,
) -> Gap:
    """Measure the gap between two groups of points.

    Each draw has four fifths of the points of each group, at most `_MOST`. How much samples differ
    follows from how much the draws do (the delete-d jackknife of J. Shao and C. Wu 1989).

    Args:
        first: (n, D), four points or more.
        second: (m, D), four points or more.
        generator: for the draws.
        draws: number of draws.
        errors: the margin; see `gap_of`.
    """
    found = np.array([_drawn(first, second, generator, errors) for _ in range(draws)])
    value, spread = float(np.median(found)), float(found.std(ddof=1)) if draws > 1 else 0.0
    size = min(len(first), len(second))
    drawn = _drawn_of(size)
    # The error of all points follows from the draws, and the median of few draws has its own.
    reach = 1.96 * spread * math.sqrt(drawn / (size - drawn) + math.pi / 2 / draws)
    return Gap(value, max(0.0, value - reach), min(1.0, value + reach))


def _drawn_of(size: int) -> int:
    return min(_MOST, int(_SHARE * size))


def _drawn(first: Floats, second: Floats, generator: np.random.Generator, errors: float) -> float:
    """Return the gap of one draw: the larger of that in the space and that in a plane."""
    one, other = (group[generator.permutation(len(group))] for group in (first, second))
    gap = _of_pair(one[: _drawn_of(len(one))], other[: _drawn_of(len(other))], errors)
    if first.shape[1] <= _PLANE or gap == 1:
        return gap
    m, n = (min(_MOST, len(group) // 2) for group in (one, other))
    plane = _separating_plane(one[-m:], other[-n:])
    return max(gap, _of_pair(one[:m] @ plane, other[:n] @ plane, errors))


def _of_pair(first: Floats, second: Floats, errors: float) -> float:
    points = np.concatenate([first, second]).astype(np.float64)
    return gap_of(points, np.arange(len(points)) < len(first), errors)


def _separating_plane(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Return the plane (D, 2) of Fisher's discriminant and the largest variance across it."""
    groups = [group.astype(np.float64) for group in (first, second)]
    centred = np.concatenate([group - group.mean(0) for group in groups])
    n, d = centred.shape
    within = centred.T @ centred / max(1, n - 2)
    shrunk = min(1.0, 2 * d / n)  # few points do not determine the covariance
    mean = np.trace(within) / d
    within = (1 - shrunk) * within + shrunk * mean * np.eye(d)
    difference = groups[0].mean(0) - groups[1].mean(0)
    axis = np.linalg.lstsq(within, difference, rcond=None)[0]
    axis /= np.linalg.norm(axis) or 1.0
    everything = np.concatenate(groups)
    across = everything - everything.mean(0)
    across -= np.outer(across @ axis, axis)
    return np.stack([axis, np.linalg.eigh(across.T @ across)[1][:, -1]], axis=1)


def gap_of(points: NDArray[np.float64], first: NDArray[np.bool_], errors: float = _ERRORS) -> float:
    """Return the gap between two groups, 0 to 1, of these points alone.

    Args:
        points: (n, D).
        first: (n,), whether a point belongs to the first group.
        errors: how many standard errors of a log density the groups exceed the crossing by.
    """
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(points))
    smaller = min(first.sum(), (~first).sum())
    gap = 0.0
    for k in sorted({int(np.clip(smaller // 2, 1, most)) for most in _NEIGHBOURS}, reverse=True):
        nearest = np.sort(np.partition(distances, k, axis=1)[:, : k + 1], axis=1)
        ratio = math.exp(errors * math.sqrt(2 / k))  # the error of a log density is 1 / sqrt(k)
        factor = ratio ** (1 / _dimension(nearest, points.shape[1]))
        gap = max(gap, _largest_runt(distances, nearest[:, k], first, factor))
        if gap >= APART:
            break
    return gap


def _dimension(nearest: NDArray[np.float64], most: int) -> float:
    """Estimate the dimension of points from distances to their nearest (Levina, Bickel 2004).

    Args:
        nearest: (n, k + 1), sorted distances, of which the first is to the point itself.
        most: dimension of the space.
    """
    known = nearest[nearest[:, 1] > 0, 1:]
    if not len(known):
        return 1.0
    mean = float(np.log(known[:, -1:] / known[:, :-1]).mean())
    return float(np.clip(1 / mean, 1, most)) if mean > 0 else float(most)


def _largest_runt(
    distances: NDArray[np.float64],
    core: NDArray[np.float64],
    first: NDArray[np.bool_],
    factor: float,
) -> float:
    """Return the largest smaller share of two groups whose dense parts one join brings together.

    Args:
        distances: (n, n).
        core: (n,), distance from which a point is dense.
        first: (n,), whether a point belongs to the first group.
        factor: how many times shorter the core distance of dense points is than the join.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    n = len(core)
    reach = np.maximum(distances, np.maximum(core[:, None], core))
    np.fill_diagonal(reach, 0)
    joins = linkage(squareform(reach, checks=False), "single")
    leaves = leaves_list(joins)  # each branch is a stretch of them
    core, of_first = core[leaves], first[leaves]
    starts = [0] * (2 * n - 1)
    for place, leaf in enumerate(leaves.tolist()):
        starts[leaf] = place
    before = np.concatenate([[0], of_first.cumsum()]).tolist()
    lengths = [1] * n + joins[:, 3].astype(int).tolist()
    sizes = int(first.sum()), int((~first).sum())
    best = 0.0
    for number, (left, right, height, _) in enumerate(joins.tolist()):
        branches = int(left), int(right)
        starts[n + number] = min(starts[one] for one in branches)
        if height == 0:  # equal points
            continue
        ends = [(starts[one], starts[one] + lengths[one]) for one in branches]
        inside = [(before[e] - before[s], e - s - before[e] + before[s]) for s, e in ends]
        for one, other in ((0, 1), (1, 0)):
            if min(inside[one][0] / sizes[0], inside[other][1] / sizes[1]) > best:
                (s, e), (t, f) = ends[one], ends[other]
                a = np.sum(of_first[s:e] & (core[s:e] <= height / factor)) / sizes[0]
                b = np.sum(~of_first[t:f] & (core[t:f] <= height / factor)) / sizes[1]
                best = max(best, float(min(a, b)))
    return best
