"""``umap`` with ``umap.method=umap-learn``: the map of the library umap-learn.

umap-learn's neighbour search, pynndescent, compiles for half a minute in every process. This module
gives umap-learn an exact search instead, also for new points.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from latentkit.builtins.embeddings.checks import (
    brought_near,
    checked_labels,
    checked_new,
    scaling,
)
from latentkit.neighbors import NeighborIndex
from latentkit.plugin import Progress, ResourceEstimate, check_map_size, checked_vectors

_LEAST_VECTORS = 5
_EXPECTED = "precomputed_knn[2]"  # umap-learn warns that the search is not pynndescent's


class UmapLearn(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """umap-learn with scikit-learn's conventions, and exact neighbours.

    Args:
        n_components: dimensions of the map, 2 or 3.
        n_neighbors: neighbours of each point, itself included; lowered if there are too few points.
        min_dist: how close together points may be in the map.
        spread: scale of the distances between points that are not close.
        n_epochs: number of steps; if None, 500 up to 10,000 points, and 200 for more.
        init: initial positions: ``spectral``, ``pca`` or ``random``.
        target: ``labels`` weakens edges between classes; then `fit_transform` needs labels.
        parallel: use all cores; the same seed then no longer gives the same map.
        random_state: seed of the fit, and of the placing of new points.
    """

    def __init__(
        self,
        n_components: int = 2,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        spread: float = 1.0,
        n_epochs: int | None = None,
        init: str = "spectral",
        target: str = "none",
        parallel: bool = False,
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.spread = spread
        self.n_epochs = n_epochs
        self.init = init
        self.target = target
        self.parallel = parallel
        self.random_state = random_state
        self.on_progress: Progress | None = None

    @property
    def reads_labels(self) -> bool:
        """Whether a fit needs labels."""
        return self.target == "labels"

    def fit(self, X: Any, y: Any = None) -> UmapLearn:  # noqa: N803
        """Fit to vectors (N, D), with labels (N,) if ``target`` is ``labels``."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:  # noqa: N803
        """Map vectors (N, D), and labels (N,) if ``target`` is ``labels``, to coordinates.

        Raises:
            UserError: the vectors or the labels cannot be used; see `checked_vectors`.
        """
        points = checked_vectors(X, "umap", n_components=self.n_components, least=_LEAST_VECTORS)
        labels = checked_labels(y, len(points), "umap") if self.reads_labels else None
        self._exponent = scaling(points)
        points = np.ldexp(points, self._exponent)
        k = min(self.n_neighbors, len(points) - 1)
        self._emit("loading umap")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that parametric UMAP needs Tensorflow
            from umap import UMAP
        self._emit("finding neighbours")
        search = _Search(points)
        indices, distances, recall = search.around_themselves(k)
        self._emit("compiling umap and optimising")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # Other code's open files may be collected during the fit.
            warnings.simplefilter("ignore", ResourceWarning)
            self._umap = UMAP(
                n_components=self.n_components,
                n_neighbors=k,
                min_dist=self.min_dist,
                spread=self.spread,
                n_epochs=self.n_epochs,
                init=self._start(points),
                precomputed_knn=(indices, distances, search),
                random_state=None if self.parallel else self.random_state,
                transform_seed=self.random_state,
                n_jobs=-1 if self.parallel else 1,
            )
            coordinates: NDArray[np.float32] = self._umap.fit_transform(points, labels)
        self._vectors, self.embedding_ = points, coordinates
        self.n_features_in_ = points.shape[1]
        texts = {" ".join(str(warning.message).split()) for warning in caught}
        self.facts_ = {
            "method": "umap-learn",
            "n_neighbors": k,
            "neighbours": "exact" if recall == 1 else "approximate",
            "graph_recall": recall,
            "repeatable": not self.parallel,
            "labels_used": self.reads_labels,
            "warnings": sorted(text for text in texts if _EXPECTED not in text),
        }
        return coordinates

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Place new vectors (M, D) in the fitted map. Fitted vectors get their own coordinates.

        Raises:
            UserError: the map is not fitted, or the vectors are not like those of the fit.
        """
        dimensions, exponent = getattr(self, "n_features_in_", None), getattr(self, "_exponent", 0)
        points = checked_new(X, "umap", dimensions, exponent)
        if not len(points):
            return np.empty((0, self.n_components), np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coordinates: NDArray[np.float32] = self._umap.transform(points)
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` vectors of ``d`` dimensions, compilation included.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped; see `check_map_size`.
        """
        check_map_size(n, d, "umap", n_components=self.n_components, least=_LEAST_VECTORS)
        k = self.n_neighbors
        steps = self.n_epochs or (500 if n <= 10_000 else 200)
        return ResourceEstimate(
            bytes=185 * 2**20 + n * (190 * k + 12 * d),
            seconds=11 + n * k * (d**0.5 * 2e-6 + steps * 2.5e-7),
        )

    def _start(self, points: NDArray[np.float32]) -> str:
        # The eigensolver of the spectral start fails for very few points.
        return "random" if len(points) < 4 * self.n_components + 4 else self.init

    def _emit(self, message: str) -> None:
        if self.on_progress is not None:
            self.on_progress(0, 0, message)


class _Search:
    """A search with the interface that umap-learn expects of a pynndescent index."""

    _angular_trees = False

    def __init__(self, vectors: NDArray[np.floating[Any]]) -> None:
        self._index = NeighborIndex(vectors)

    def around_themselves(self, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32], float]:
        """Return the ``k`` nearest of each vector, its distances, and the recall of the search.

        The first neighbour of a vector is the vector itself.
        """
        found = self._index.neighbors(k - 1)
        itself = np.arange(len(found.indices), dtype=np.int32)[:, None]
        return (
            np.hstack([itself, found.indices]),
            np.hstack([np.zeros_like(itself), found.distances]).astype(np.float32),
            found.recall,
        )

    def query(
        self, queries: NDArray[np.float32], k: int, epsilon: float
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` nearest of each query; ``epsilon`` is ignored."""
        found = self._index.query(queries, k)
        return found.indices, brought_near(found.distances, 20)
