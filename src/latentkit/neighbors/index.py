"""Index of a set of vectors that finds nearest neighbours, for the set and for new vectors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from threadpoolctl import threadpool_limits

from latentkit.errors import UserError
from latentkit.neighbors.blocks import Blocks, Floats, Integers, make_blocks
from latentkit.neighbors.projections import Projections, fit_projections
from latentkit.neighbors.search import LANES, Queries, label_points, nearest_blocks, search

_CHUNK = 65_536


class VectorsError(UserError, ValueError):
    """Vectors are invalid; also a ValueError, as users of scikit-learn expect."""


def as_vectors(vectors: ArrayLike, dimensions: int | None = None) -> Floats:
    """Return a float32 copy (n, d) of ``vectors``, with rows contiguous in memory.

    Args:
        vectors: anything that converts to a matrix of real numbers.
        dimensions: the expected d, or None if any d is valid.

    Raises:
        VectorsError: it is not a matrix, holds NaN or infinity, or has another d.
    """
    if hasattr(vectors, "toarray"):
        raise VectorsError("vectors are a sparse matrix: convert them with their toarray()")
    try:
        rows: Floats = check_array(
            vectors, dtype=np.float32, order="C", copy=True, ensure_all_finite=False
        )
    except (ValueError, RuntimeError) as error:  # the latter for a tensor that requires a gradient
        raise VectorsError(" ".join(str(error).split())) from error
    if dimensions not in (None, rows.shape[1]):
        raise VectorsError(f"vectors have {rows.shape[1]} columns, expected {dimensions}")
    refuse_gaps(rows)
    return rows


def refuse_gaps(rows: Floats) -> None:
    """Raise an error if a row holds NaN or infinity.

    Raises:
        VectorsError: a row is not finite; the message names the first one.
    """
    for start in range(0, len(rows), _CHUNK):
        finite = np.isfinite(rows[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            what = "NaN" if np.isnan(rows[row]).any() else "infinity (or a number above 3e38)"
            raise VectorsError(f"row {row} of the vectors holds {what}; remove or repair such rows")


MOST_WORK = 1e8
"""Brute force is used up to this many multiplications, which take a fraction of a second."""
MOST_POINTS = 2_048
_FEW_CHUNK = 256  # queries compared at once, to limit the memory


def nearest_of_few(
    points: Floats, queries: Floats, labels: Integers, own: Integers, k: int
) -> tuple[NDArray[np.int32], Floats]:
    """Return the nearest points of each query and their squared distances, (m, k) each.

    Sums are taken in the order of the compiled search, so distances are the same to the last bit.
    Of equally distant points, the one with the lower index comes first.

    Args:
        points: (n, d).
        queries: (m, d).
        labels: (n,), the label of each point.
        own: (m,), the label of the points that a query must not find, or -1.
        k: number of neighbours.
    """
    indices = np.empty((len(queries), k), np.int32)
    squares = np.empty((len(queries), k), np.float32)
    whole = points.shape[1] // LANES * LANES
    for start in range(0, len(queries), _FEW_CHUNK):
        part = slice(start, start + _FEW_CHUNK)
        asked = queries[part]
        away = np.zeros((len(asked), len(points)), np.float32)
        # The compiled search adds up long rows in several sums.
        for lane in range(LANES if whole else 0):
            along = np.zeros_like(away)
            for t in range(lane, whole, LANES):
                along += np.square(asked[:, t, None] - points[:, t])
            away += along
        for t in range(whole, points.shape[1]):
            away += np.square(asked[:, t, None] - points[:, t])
        away[labels == own[part, None]] = np.inf
        order = np.argsort(away, axis=1, kind="stable")[:, :k]
        indices[part] = order
        squares[part] = np.take_along_axis(away, order, axis=1)
    return indices, squares


_WIDTHS = ((4, 64), (2**62, 128))
"""Pairs of (most dimensions, block width); these widths were the fastest."""
_BATCH = 128
_MOST_BATCHES = 64  # in a part of a search
_PARTS = 8  # of each thread, at least
_SAMPLED_BATCHES = 24
_SAMPLED_QUERIES = 2_048
_MARGIN = 0.003
_FIRST_LIMIT = 16
_TRIED = 4  # members of each group that are searched first for a bridge
_EVERYTHING = 2**62
_FARTHEST = 40
"""Binary exponent of the largest value of a query; the squares of larger ones would overflow."""


OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Neighbors:
    """The nearest points of each query, nearest first.

    Args:
        indices: (m, k).
        distances: (m, k), Euclidean.
        recall: share of the true nearest points that were found: 1 if the search was exact, else
            measured on sampled queries.
    """

    indices: NDArray[np.int32]
    distances: Floats
    recall: float


class NeighborIndex:
    """Index that finds the nearest of a set of vectors.

    With one seed, the results are the same on any number of threads. The search is exact, up to
    rounding in float32, unless that would take many minutes. Then each batch of queries visits
    only as many blocks as keep the recall above ``min_recall``. Few points are compared by brute
    force, without blocks and compiled code.

    Args:
        vectors: (n, d), finite; a float32 copy is kept.
        random_state: seed of all sampling.
        min_recall: recall that a search must reach if it is not exact.
        exact_work: largest number of multiplications of an exact search. Two cores do ten to
            twenty thousand million per second.

    Attributes:
        rows: (n, d), float32, the vectors, scaled by a power of two that brings the largest value
            near 1.

    Raises:
        VectorsError: the vectors are not a finite matrix.
    """

    def __init__(
        self,
        vectors: ArrayLike,
        *,
        random_state: int = 0,
        min_recall: float = 0.99,
        exact_work: float = 1e13,
    ) -> None:
        self.random_state = random_state
        self.min_recall = min_recall
        self.exact_work = exact_work
        rows = as_vectors(vectors)
        # Bring the largest value near 1: squares of very large or very small numbers leave the
        # range of float32. A power of two keeps all digits.
        self._exponent = int(np.frexp(np.abs(rows).max())[1])
        self.rows = np.ldexp(rows, -self._exponent, out=rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def order(self) -> Integers:
        """Indices (n,) of the points. If there are many, nearby points are close in this order."""
        return np.arange(len(self)) if len(self) <= MOST_POINTS else self._blocks.order

    @cached_property
    def _blocks(self) -> Blocks:
        """The points, partitioned into blocks."""
        width = next(width for dimensions, width in _WIDTHS if self.rows.shape[1] <= dimensions)
        return make_blocks(self._seen, width)

    @cached_property
    def _projections(self) -> Projections | None:
        return fit_projections(self.rows, np.random.default_rng(self.random_state))

    @property
    def _slack(self) -> float:
        return 0.0 if self._projections is None else self._projections.slack

    @cached_property
    def _seen(self) -> Floats:
        return self._look(self.rows)

    def neighbors(self, k: int, on_progress: OnProgress | None = None) -> Neighbors:
        """Return the ``k`` nearest other points of each point; its duplicates are among them.

        Args:
            k: number of neighbours.
            on_progress: called with the points that are done and their total. What it raises, and
                Ctrl-C, end the search within some seconds.

        Raises:
            UserError: there are fewer than ``k`` others.
        """
        n = len(self)
        if not 1 <= k < n:
            raise UserError(f"cannot find {k} other points among {n:,}; ask for {n - 1:,} or fewer")
        if self._are_few(n):
            return self._compared(self.rows, np.arange(n), k)
        order = self._blocks.order
        homes = np.arange(len(self._blocks.radii))
        queries = Queries(
            self._seen[order], self._full(self.rows[order]), order, self._blocks.starts, homes
        )
        return self._answer(queries, k, order, on_progress)

    def query(self, points: ArrayLike, k: int) -> Neighbors:
        """Return the ``k`` nearest of the set to each of ``points`` (m, d).

        Raises:
            VectorsError: the points are not a finite matrix of d columns.
            UserError: the set has fewer than ``k`` points.
        """
        n, d = self.rows.shape
        if not 1 <= k <= n:
            raise UserError(f"cannot find the nearest {k} of {n:,} points; ask for {n:,} or fewer")
        rows = as_vectors(points, d)
        np.ldexp(rows, -self._exponent, out=rows)
        nearer = np.minimum(_FARTHEST - np.frexp(np.abs(rows).max(axis=1))[1], 0)[:, None]
        if not nearer.any():
            return self._nearest_to(rows, k)
        # From so far away, the whole set is one point in the precision of float32.
        found = self._nearest_to(np.ldexp(rows, nearer, out=rows), k)
        with np.errstate(over="ignore"):
            return replace(found, distances=np.ldexp(found.distances, -nearer))

    def _nearest_to(self, rows: Floats, k: int) -> Neighbors:
        """Return the ``k`` nearest of the set to each of ``rows``, scaled like those of the set."""
        if self._are_few(len(rows)):
            return self._compared(rows, np.full(len(rows), -1), k)
        seen = self._look(rows)
        homes = nearest_blocks(seen, self._blocks.centers)
        order = np.argsort(homes, kind="stable")
        starts = _batches(homes[order])
        nobody = np.full(len(rows), -1)
        queries = Queries(
            seen[order], self._full(rows[order]), nobody, starts, homes[order][starts[:-1]]
        )
        return self._answer(queries, k, order)

    def shortest_bridges(self, groups: ArrayLike) -> tuple[Integers, Integers, Floats]:
        """Return the shortest line from each group, except the largest, to any other group.

        Args:
            groups: (n,), the group of each point: 0, 1, ..., at least two.

        Returns:
            The points where the lines begin, in the group; where they end; and the lengths. Each
            has one entry for each group but the largest, in the order of the groups.

        Raises:
            UserError: ``groups`` is no whole number for each point, or all points are in one group.
        """
        labels, sizes = self._checked_groups(groups)
        asked = np.delete(np.arange(len(sizes)), sizes.argmax())
        members = self.order[(labels != sizes.argmax())[self.order]]
        squares = np.full(len(sizes), np.inf, np.float32)
        ends = np.zeros((len(sizes), 2), np.int64)
        # A few members of each group give a short line. It rules out most blocks for the others.
        for points in (_some_of_each(members, labels[members], sizes), members):
            found, lengths = self._nearest_of_others(points, labels, squares[labels[points]])
            shorter = np.flatnonzero(found >= 0)
            shorter = shorter[np.argsort(lengths[shorter], kind="stable")]
            of, first = np.unique(labels[points[shorter]], return_index=True)
            best = shorter[first]
            squares[of] = lengths[best]
            ends[of] = np.column_stack([points[best], found[best]])
        return ends[asked, 0], ends[asked, 1], self._lengths(squares[asked])

    def _checked_groups(self, groups: ArrayLike) -> tuple[Integers, Integers]:
        """Return the group (n,) of each point and the size of each group."""
        labels = np.asarray(groups)
        if labels.shape != (len(self),) or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise UserError(
                f"groups must be a whole number from 0 for each of {len(self):,} points, not "
                f"{labels.dtype} {labels.shape}"
            )
        sizes = np.bincount(labels)
        if len(sizes) < 2 or not sizes.all():
            raise UserError(
                "groups must be numbered 0, 1, ..., without gaps, and there must be at least two"
            )
        return labels.astype(np.int64), sizes

    def _nearest_of_others(
        self, points: Integers, labels: Integers, squares: Floats
    ) -> tuple[NDArray[np.int32], Floats]:
        """Return for each of ``points`` (m,) the nearest point of another label.

        Args:
            points: indices of points, in the order of `order`.
            labels: (n,), the label of each point.
            squares: (m,), the squared distance below which a point is searched.

        Returns:
            (m,), the points found, or -1, and (m,), the squared distances.
        """
        if self._are_few(len(points)):
            few, away = nearest_of_few(self.rows, self.rows[points], labels, labels[points], 1)
            return np.where(away[:, 0] < squares, few[:, 0], -1), away[:, 0]
        places = np.empty(len(self), np.int64)
        places[self._blocks.order] = np.arange(len(self))
        homes = np.searchsorted(self._blocks.starts, places[points], side="right") - 1
        cuts = _batches(homes)
        queries = Queries(
            self._seen[points],
            self._full(self.rows[points]),
            labels[points],
            cuts,
            homes[cuts[:-1]],
        )
        found, lengths, _ = self._search(queries, 1, _EVERYTHING, labels, squares[:, None])
        return found[:, 0], lengths[:, 0]

    def _are_few(self, queries: int) -> bool:
        n, d = self.rows.shape
        work: int = queries * n * d
        return n <= MOST_POINTS and work <= min(MOST_WORK, self.exact_work)

    def _compared(self, rows: Floats, own: Integers, k: int) -> Neighbors:
        """Return the points nearest to ``rows`` (m, d), by brute force."""
        indices, squares = nearest_of_few(self.rows, rows, np.arange(len(self)), own, k)
        return Neighbors(indices, self._lengths(squares), 1.0)

    def _look(self, rows: Floats) -> Floats:
        return rows if self._projections is None else self._projections.cast(rows)

    def _lengths(self, squares: Floats) -> Floats:
        lengths: Floats = np.sqrt(squares, out=squares)
        return np.ldexp(lengths, self._exponent, out=lengths)

    def _full(self, rows: Floats) -> Floats:
        """Return ``rows``, or no columns of them if the blocks hold the points in full."""
        return rows[:, :0].copy() if self._projections is None else rows

    def _answer(
        self,
        queries: Queries,
        k: int,
        order: Integers,
        on_progress: OnProgress | None = None,
    ) -> Neighbors:
        """Search, and return the results in the original order of the queries."""
        limit = self._limit(queries, k)
        found, squares, _ = self._search(queries, k, limit, on_progress=on_progress)
        recall = 1.0 if limit == _EVERYTHING else self._measured_recall(queries, found)
        indices, distances = np.empty(found.shape, np.int32), np.empty_like(squares)
        indices[order] = found
        distances[order] = self._lengths(squares)
        return Neighbors(indices, distances, recall)

    def _search(
        self,
        queries: Queries,
        k: int,
        limit: int,
        labels: Integers | None = None,
        squares: Floats | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[NDArray[np.int32], Floats, int]:
        """Search for ``k`` points that are nearer than ``squares`` (m, k) and of other labels.

        Without labels, each point has its own. Without squares, all distances are near enough.
        """
        shape = (len(queries.own), k)
        indices = np.full(shape, -1, np.int32)
        squares = np.full(shape, np.inf, np.float32) if squares is None else squares.copy()
        labels = np.arange(len(self)) if labels is None else labels
        fixed = self._blocks, self._full(self.rows), label_points(self._blocks, labels)
        threads, batches = numba.get_num_threads(), len(queries.homes)

        def search_part(first: int, last: int) -> tuple[int, int]:
            starts, homes = queries.starts[first : last + 1], queries.homes[first:last]
            part = queries._replace(starts=starts, homes=homes)
            work = search(*fixed, part, limit, self._slack, indices, squares)
            return int(starts[-1] - starts[0]), work

        size = max(1, min(_MOST_BATCHES, batches // (_PARTS * threads)))
        done = work = 0
        # Each thread multiplies by itself. Parts differ in work, so threads take one after another.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
            try:
                parts = [
                    pool.submit(search_part, first, min(first + size, batches))
                    for first in range(0, batches, size)
                ]
                for part in as_completed(parts):
                    done, work = done + part.result()[0], work + part.result()[1]
                    if on_progress is not None:
                        on_progress(done, len(indices))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return indices, squares, work

    def _limit(self, queries: Queries, k: int) -> int:
        """Return how many blocks a batch may visit."""
        m, (n, d) = len(queries.own), self.rows.shape
        if m * n * d <= self.exact_work:
            return _EVERYTHING
        # Blocks that are skipped may still make an exact search affordable: measure on a sample.
        rng = np.random.default_rng([self.random_state, 1])
        batches = len(queries.homes)
        chosen = np.sort(rng.choice(batches, min(batches, _SAMPLED_BATCHES), replace=False))
        sample = _pick(
            queries, [np.arange(*queries.starts[i : i + 2]) for i in chosen], queries.homes[chosen]
        )
        truth, _, work = self._search(sample, k, _EVERYTHING)
        if work / len(truth) * m <= self.exact_work:
            return _EVERYTHING
        # The margin makes up for the sampling error of the recall.
        limit: int = max(_FIRST_LIMIT, 2 + 2 * k * len(self._blocks.radii) // n)
        while _recall(self._search(sample, k, limit)[0], truth) < min(self.min_recall + _MARGIN, 1):
            limit *= 2
        return limit

    def _measured_recall(self, queries: Queries, found: NDArray[np.int32]) -> float:
        """Return the recall of ``found`` at sampled queries, which are searched again exactly."""
        m, k = found.shape
        rng = np.random.default_rng([self.random_state, 2])
        chosen = np.sort(rng.choice(m, min(m, _SAMPLED_QUERIES), replace=False))
        homes = queries.homes[np.searchsorted(queries.starts, chosen, side="right") - 1]
        sample = _pick(queries, [np.array([i]) for i in chosen], homes)
        return _recall(found[chosen], self._search(sample, k, _EVERYTHING)[0])


def _some_of_each(members: Integers, groups: Integers, sizes: Integers) -> Integers:
    """Return about `_TRIED` of the members of each group, in the order of ``members``.

    Args:
        members: (m,), points.
        groups: (m,), the group of each.
        sizes: size of each group.
    """
    by_group = np.argsort(groups, kind="stable")
    sorted_groups = groups[by_group]
    first = np.searchsorted(sorted_groups, sorted_groups)
    rank = np.arange(len(by_group)) - first
    every = np.maximum(1, sizes[sorted_groups] // _TRIED)
    some: Integers = members[np.sort(by_group[rank % every == 0])]
    return some


def _batches(homes: Integers) -> Integers:
    """Return where to cut sorted ``homes``: a batch has one home and at most `_BATCH` queries."""
    changes = np.flatnonzero(np.diff(homes, prepend=-1, append=-1))
    cuts = [np.arange(start, stop, _BATCH) for start, stop in pairwise(changes)]
    return np.concatenate([*cuts, changes[-1:]])


def _pick(queries: Queries, batches: list[Integers], homes: Integers) -> Queries:
    """Return some of the queries, in new batches."""
    members = np.concatenate(batches)
    starts = np.cumsum([0, *map(len, batches)])
    return Queries(
        queries.projections[members], queries.rows[members], queries.own[members], starts, homes
    )


def _recall(found: NDArray[np.int32], truth: NDArray[np.int32]) -> float:
    """Return the share of the true neighbours (m, k) that were found."""
    hits = sum(np.isin(true, some).sum() for some, true in zip(found, truth, strict=True))
    return float(hits / truth.size)
