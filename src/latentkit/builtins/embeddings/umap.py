"""``umap``: L. McInnes, J. Healy, J. Melville, arXiv:1802.03426 (2018).

`build` makes the map of `Umap`, or with ``umap.method=umap-learn`` that of umap-learn.

The objective is that of umap-learn. The layout is our own (see `umap_layout`), because a seeded
umap-learn uses one thread and gives another map on another system. Neighbours are exact up to the
limits of `latentkit.neighbors`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.base import BaseEstimator, TransformerMixin

from latentkit.builtins.embeddings.checks import (
    brought_near,
    checked_labels,
    checked_new,
    scaling,
)
from latentkit.builtins.embeddings.options import UmapOptions
from latentkit.builtins.embeddings.umap_graph import (
    Graph,
    fuzzy_graph,
    memberships,
    spectral_start,
    with_labels,
)
from latentkit.builtins.embeddings.umap_layout import kernel_parameters, optimise
from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex
from latentkit.plugin import (
    Embedding,
    Progress,
    ResourceEstimate,
    check_map_size,
    checked_vectors,
    finite_vectors,
)

_LEAST_VECTORS = 4
_FEW = 5_000
_STEPS_OF_FEW, _STEPS = 500, 200
_AT_ONCE = 4096  # new points
_EXTENT = 10.0  # of the start along each axis
_NOISE = 1e-4
_MOST_SPECTRAL = 1000  # components that start from eigenvectors
_FAR = 40  # binary exponent up to which distances keep their size

Floats = NDArray[np.float32]


class Umap(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """UMAP with scikit-learn's conventions.

    The same vectors and seed give the same bytes with any number of threads.

    Args:
        n_components: dimensions of the map, 2 or 3.
        n_neighbors: neighbours of each point, itself included; lowered if there are too few points.
        min_dist: how close together points may be in the map.
        spread: scale of the distances between points that are not close.
        metric: ``euclidean``; ``cosine``; or ``correlation``, the cosine of centred vectors.
        n_epochs: number of steps; if None, 500 up to 5,000 points, and 200 for more.
        init: initial positions: ``spectral``, ``pca`` or ``random``.
        target: ``labels`` weakens edges between classes; then `fit_transform` needs labels.
        random_state: seed of the fit.
    """

    def __init__(
        self,
        n_components: int = 2,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        spread: float = 1.0,
        metric: str = "euclidean",
        n_epochs: int | None = None,
        init: str = "spectral",
        target: str = "none",
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.spread = spread
        self.metric = metric
        self.n_epochs = n_epochs
        self.init = init
        self.target = target
        self.random_state = random_state
        self.on_progress: Progress | None = None

    @property
    def reads_labels(self) -> bool:
        """Whether a fit needs labels."""
        return self.target == "labels"

    def fit(self, X: Any, y: Any = None) -> Umap:  # noqa: N803
        """Fit to vectors (N, D), with labels (N,) if ``target`` is ``labels``."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Floats:  # noqa: N803
        """Map vectors (N, D) to coordinates (N, n_components).

        Equal vectors get one place; with labels, equal vectors of one class.

        Args:
            X: (N, D).
            y: labels (N,), integers, -1 where one is missing. Only read if ``target`` is
                ``labels``.

        Raises:
            UserError: the vectors or the labels cannot be used; see `checked_vectors`.
        """
        points = checked_vectors(X, "umap", n_components=self.n_components, least=_LEAST_VECTORS)
        self._exponent = scaling(points)
        points = self._comparable(np.ldexp(points, self._exponent))
        labels = checked_labels(y, len(points), "umap") if self.reads_labels else None
        points, labels, places = _different(points, labels)
        self._vectors, self._index = points, NeighborIndex(points)
        self.n_features_in_ = points.shape[1]
        self._kernel = kernel_parameters(self.min_dist, self.spread)
        k = min(self.n_neighbors, len(points)) - 1
        if len(points) < _LEAST_VECTORS:
            self._emit(0, 0, "placing few different vectors")
            coordinates, recall, parts = self._principal(points), 1.0, 1
        else:
            coordinates, recall, parts = self._fit(points, labels, k)
        self._coordinates = coordinates
        self.embedding_ = coordinates[places]
        self.facts_ = {
            "method": "latentkit",
            "n_neighbors": k + 1,
            "neighbours": "exact" if recall == 1 else "approximate",
            "graph_recall": recall,
            "components": parts,
            "steps": self._steps(len(points)),
            "repeatable": True,
            "labels_used": self.reads_labels,
        }
        return self.embedding_

    def transform(self, X: Any) -> Floats:  # noqa: N803
        """Place new vectors (M, D) in the fitted map, each independently of the others.

        A new point belongs where most of its nearest fitted points are together in the map; its
        place is their mean there. Fitted vectors get their own coordinates.

        Raises:
            UserError: the map is not fitted, or the vectors are not like those of the fit.
        """
        dimensions, exponent = getattr(self, "n_features_in_", None), getattr(self, "_exponent", 0)
        points = checked_new(X, "umap", dimensions, exponent)
        if not len(points):
            return np.empty((0, self.n_components), np.float32)
        points = self._comparable(points)
        count = min(max(self.n_neighbors, 2), len(self._vectors))
        found = self._index.query(points, count)
        weights = memberships(self._distances(found.distances))
        placed = np.empty((len(points), self.n_components), np.float32)
        for first in range(0, len(points), _AT_ONCE):
            rows = slice(first, first + _AT_ONCE)
            near = self._coordinates[found.indices[rows]]
            placed[rows] = _where_most_agree(near, weights[rows], self._kernel)
        same = found.distances[:, 0] == 0
        placed[same] = self._coordinates[found.indices[same, 0]]
        return placed

    def inverse_transform(self, X: Any) -> Floats:  # noqa: N803
        """Return vectors (M, D) for coordinates (M, n_components).

        A vector is the mean of those of the nearest points in the map, weighted by the map's
        kernel, so it never leaves the range of the fitted vectors. With ``cosine`` and
        ``correlation`` it has the length 1.

        Raises:
            UserError: the map is not fitted, or the coordinates cannot be of this map.
        """
        if not hasattr(self, "_coordinates"):
            raise UserError("embedding 'umap': fit it before inverse_transform is called")
        wanted = finite_vectors(X, "umap", np.float32)
        if wanted.shape[1] != self.n_components:
            raise UserError(
                f"embedding 'umap': the coordinates have {wanted.shape[1]} dimensions, the map "
                f"has {self.n_components}"
            )
        count = min(self.n_neighbors, len(self._vectors))
        found = NeighborIndex(self._coordinates).query(wanted, count)
        a, b = self._kernel
        nearer = found.distances - found.distances[:, :1]  # far outside the map, the nearest rules
        weights = 1 / (1 + a * nearer ** (2 * b))
        weights /= weights.sum(1, keepdims=True)
        vectors = np.einsum("mk,mkd->md", weights, self._vectors[found.indices])
        original: Floats = np.ldexp(vectors, -self._exponent).astype(np.float32)
        return original

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped; see `check_map_size`.
        """
        check_map_size(n, d, "umap", n_components=self.n_components, least=_LEAST_VECTORS)
        k = min(self.n_neighbors, n)
        # Measured on two cores up to a million points, which no longer fit into the caches.
        slower = min(1 + n / 300_000, 4)
        return ResourceEstimate(
            bytes=100 * 2**20 + n * (30 * k + 16 * d + 300),
            seconds=0.5 + slower * n * k * (d**0.5 * 1e-6 + self._steps(n) * 3e-8),
        )

    def _steps(self, n: int) -> int:
        return self.n_epochs or (_STEPS_OF_FEW if n <= _FEW else _STEPS)

    def _fit(
        self, points: Floats, labels: NDArray[np.int64] | None, k: int
    ) -> tuple[Floats, float, int]:
        """Return coordinates, the recall of the neighbours, and the number of components."""
        self._emit(0, 0, "finding neighbours")
        found = self._index.neighbors(k, partial(self._emit, message="finding neighbours"))
        graph, recall = fuzzy_graph(found.indices, self._distances(found.distances)), found.recall
        del found  # of ten million points, it is more than a gigabyte
        if labels is not None:
            graph = with_labels(graph, labels)
        parts, labels = connected_components(
            csr_matrix((graph.weights, graph.neighbors, graph.starts)), directed=False
        )
        steps = self._steps(len(points))
        self._emit(0, 0, "placing the points")
        start = self._start(points, graph, parts, labels)
        self._emit(0, steps, "optimising")
        graph = graph.without(float(graph.weights.max()) / steps)
        coordinates = optimise(
            start,
            graph,
            self._kernel,
            steps=steps,
            seed=self.random_state,
            on_step=partial(self._emit, total=steps, message="optimising"),
        )
        return coordinates, recall, int(parts)

    def _comparable(self, points: NDArray[np.floating[Any]]) -> Floats:
        """Return vectors whose Euclidean distances rank pairs as the metric does.

        Raises:
            UserError: a vector has no direction, so its cosine is not defined.
        """
        if self.metric == "euclidean":
            return points
        if self.metric == "correlation":
            points = points - points.mean(1, keepdims=True)
        lengths = np.linalg.norm(points, axis=1, keepdims=True)
        if not lengths.all():
            row = int(np.flatnonzero(lengths[:, 0] == 0)[0])
            what = "zero" if self.metric == "cosine" else "constant"
            raise UserError(
                f"embedding 'umap': row {row} of the vectors is {what}, so it has no "
                f"{self.metric}: leave such rows out, or set umap.metric=euclidean"
            )
        compared: Floats = points / lengths
        return compared

    def _distances(self, euclidean: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        near = brought_near(euclidean, _FAR).astype(np.float64)
        return near if self.metric == "euclidean" else near**2 / 2

    def _start(self, points: Floats, graph: Graph, parts: int, labels: Any) -> Floats:
        """Return initial positions, from 0 to `_EXTENT` along each axis, with a little noise."""
        generator = np.random.default_rng(self.random_state)
        n, d = len(points), self.n_components
        if self.init == "random":
            return generator.uniform(0, _EXTENT, (n, d)).astype(np.float32)
        if self.init == "pca" or n < 4 * d + 4:
            start = self._principal(points).astype(np.float64)
        elif parts == 1:
            start = spectral_start(graph, d, self.random_state)
        else:
            start = self._side_by_side(points, graph, labels)
        start -= start.min(0)
        start *= _EXTENT / np.maximum(start.max(0), 1e-12)
        return (start + generator.normal(scale=_NOISE, size=start.shape)).astype(np.float32)

    def _side_by_side(self, points: Floats, graph: Graph, labels: Any) -> NDArray[np.float64]:
        """Return a start for each component of a graph, around the principal position of each.

        A component gets as much room as its distance to the nearest other allows. Small ones, of
        which there may be thousands, start from their principal components.
        """
        d = self.n_components
        order = np.argsort(labels, kind="stable")
        sizes = np.bincount(labels)
        ends = np.cumsum(sizes)
        places = self._principal(points).astype(np.float64)
        start = np.empty_like(places)
        means = np.stack(
            [np.bincount(labels, places[:, axis]) / sizes for axis in range(d)], axis=1
        )
        apart = NeighborIndex(means.astype(np.float32)).neighbors(1).distances[:, 0]
        least = float(np.ptp(places, axis=0).max()) * 1e-3
        edges = csr_matrix((graph.weights, graph.neighbors, graph.starts))[order][:, order]
        edges.sort_indices()
        enough = max(4 * d + 4, len(points) // _MOST_SPECTRAL)
        for part, (end, size) in enumerate(zip(ends, sizes, strict=True)):
            first = end - size
            rows = order[first:end]
            own = places[rows] - means[part]
            if size >= enough:
                starts = edges.indptr[first : end + 1].astype(np.int64)
                of_part = slice(starts[0], starts[-1])
                inner = Graph(
                    starts - starts[0],
                    (edges.indices[of_part] - first).astype(np.int32),
                    edges.data[of_part],
                )
                own = spectral_start(inner, d, self.random_state)
                own -= own.mean(0)
            radius = max(float(np.abs(own).max()), 1e-30)
            start[rows] = means[part] + own * (max(float(apart[part]) / 2, least) / radius)
        return start

    def _principal(self, points: Floats) -> Floats:
        """Return the principal components (n, n_components) of vectors, with definite signs."""
        from sklearn.decomposition import PCA

        d = min(self.n_components, *points.shape)
        found = PCA(d, svd_solver="covariance_eigh").fit_transform(points.astype(np.float64))
        missing = np.zeros((len(points), self.n_components - d))
        scaled: Floats = np.hstack([found, missing]).astype(np.float32)
        return scaled

    def _emit(self, done: int, total: int, message: str) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total, message)


def _where_most_agree(near: Floats, weights: Floats, kernel: tuple[float, float]) -> Floats:
    """Return a place (m, d) for each new point among its neighbours' places (m, k, d).

    Args:
        near: places of the neighbours.
        weights: (m, k), their memberships.
        kernel: a and b of `kernel_parameters`.
    """
    a, b = kernel
    squares = ((near[:, :, None] - near[:, None]) ** 2).sum(-1)
    agreed = weights[:, None] / (1 + a * squares**b)
    best = agreed.sum(-1).argmax(1)
    shares = agreed[np.arange(len(best)), best]
    shares /= shares.sum(1, keepdims=True)
    places: Floats = np.einsum("mk,mkd->md", shares, near)
    return places


def _different(
    points: Floats, labels: NDArray[np.int64] | None
) -> tuple[Floats, NDArray[np.int64] | None, NDArray[np.intp]]:
    """Return the different points and their labels, and the row among them of each given point."""
    # Rows of few numbers are compared four times faster as bytes. In big-endian order the first
    # values count most, so that rows with nearly the same ones become neighbours.
    keys = (points + np.float32(0)).astype(">f4")  # -0 becomes 0
    if labels is not None:
        keys = np.hstack([keys, labels.astype(">i8").view(">f4").reshape(len(points), 2)])
    rows = keys.view(f"V{keys.itemsize * keys.shape[1]}")[:, 0]
    _, first, places = np.unique(rows, return_index=True, return_inverse=True)
    return points[first], None if labels is None else labels[first], places


def build(options: UmapOptions, random_state: int) -> Embedding:
    """Build ``umap``."""
    if options.method == "latentkit":
        chosen = options.model_dump(exclude={"method", "parallel"})
        return Umap(random_state=random_state, **chosen)
    from latentkit.builtins.embeddings.umap_learn import UmapLearn

    return UmapLearn(random_state=random_state, **options.model_dump(exclude={"method", "metric"}))
