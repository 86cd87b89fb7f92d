"""``isomap``: J. Tenenbaum, V. de Silva, J. Langford, Science 290 (2000), for any number of points.

Distances along the nearest-neighbour graph are measured from landmarks to all points. Classical
scaling maps the landmarks, and the other points are placed by their distances to the landmarks (V.
de Silva, J. Tenenbaum, Sparse multidimensional scaling using landmark points, 2004). If every point
is a landmark, this is exact Isomap, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from latentkit.builtins.embeddings import isomap_graph
from latentkit.builtins.embeddings.isomap_scaling import (
    landmark_masses,
    residual_variance,
    scale_landmarks,
)
from latentkit.builtins.embeddings.options import IsomapOptions
from latentkit.errors import UserError
from latentkit.neighbors import as_vectors
from latentkit.plugin import Embedding, ResourceEstimate

_SECONDS_PER_STEP = 1.5e-7


def needs(n: int, d: int, n_neighbors: int, landmarks: int) -> ResourceEstimate:
    """Return peak memory and time of a fit of ``n`` vectors of ``d`` dimensions."""
    vectors = 4 * n * d * 5
    graph = 28 * n * n_neighbors
    distances = 4 * n * landmarks
    square = 24 * landmarks * landmarks
    seconds = _SECONDS_PER_STEP * n * landmarks
    return ResourceEstimate(bytes=vectors + graph + distances + square, seconds=seconds)


_EXACT_LIMIT = 2_000
_LANDMARKS = 256


class LandmarkIsomap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Isomap with landmarks, for any number of points.

    If all points are landmarks, it is exact Isomap. The same seed gives the same map to the last
    bit, on any number of threads.

    Args:
        n_neighbors: number of neighbours of each point in the graph.
        n_components: dimensions of the map, 2 or 3.
        landmarks: number of points from which distances along the graph are measured. ``"auto"``:
            all points, up to 2,000; 256 if there are more. With 256, the map differs from exact
            Isomap's by a Procrustes disparity of about 1e-5.
        landmark_choice: how landmarks are chosen; see `choose_landmarks`.
        disconnected: what to do with a graph that is not connected. ``"bridge"`` joins the
            components by their shortest edges; ``"largest"`` fits the largest component and places
            the other points as `transform` would; ``"error"`` raises an error.
        random_state: seed of all random draws.

    Attributes:
        embedding_: (N, n_components), coordinates of the fitted points.
        landmarks_: rows of the landmarks, in the order in which they were chosen.
        facts_: what a reader of the map should know, as JSON values.
        n_features_in_: D.
        on_progress: None, or a function that is called with (done, total, message) during a fit.
    """

    on_progress: Callable[[int, int, str], None] | None = None

    def __init__(
        self,
        n_neighbors: int = 10,
        n_components: int = 2,
        landmarks: int | Literal["auto"] = "auto",
        landmark_choice: isomap_graph.LandmarkChoice = "k-means++",
        disconnected: isomap_graph.Disconnected = "bridge",
        random_state: int = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.landmarks = landmarks
        self.landmark_choice = landmark_choice
        self.disconnected = disconnected
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> LandmarkIsomap:  # noqa: N803
        """Fit to vectors (N, D)."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike, y: Any = None) -> NDArray[np.float64]:  # noqa: N803
        """Return coordinates (N, n_components) of vectors (N, D).

        Raises:
            VectorsError: a row holds NaN or infinity, or there are too few.
            UserError: the graph is not connected, and ``disconnected`` is ``"error"``.
        """
        rows = as_vectors(X)
        validate_data(self, X, skip_check_array=True)
        searching = partial(self._report, message="finding neighbours")
        searching(0, 0)
        net = isomap_graph.connected_graph(
            rows, self.n_neighbors, self.disconnected, self.random_state, searching
        )
        n = len(net.nodes)
        chosen = np.arange(n)
        if (most := self._landmark_count(n)) < n:
            vectors = net.index.rows[net.index.order]
            chosen = isomap_graph.choose_landmarks(
                vectors, most, self.landmark_choice, self.random_state
            )
        count = len(chosen)  # copies of a landmark are no landmarks
        distances = isomap_graph.shortest_paths(
            net.graph, chosen, lambda done: self._report(done, count, "distances along the graph")
        )
        self._report(count, count, "scaling")
        masses = np.ones(n) if count == n else landmark_masses(distances)
        # The axes that fit the landmarks are not yet the principal axes of all points.
        scaled = scale_landmarks(distances[:, chosen], masses, self.n_components, self.random_state)
        self._triangulation = scaled.along_principal_axes(scaled.place(distances))
        coordinates = self._triangulation.place(distances)
        self._distances, self._index, self._places = distances, net.index, net.places
        self.landmarks_ = net.nodes[chosen]
        self.embedding_ = self._with_the_rest(rows, net.nodes, coordinates)
        self.facts_ = {
            "method": "exact" if count == n else "landmarks",
            "n_neighbors": self.n_neighbors,
            "graph_recall": net.recall,
            "components": net.components,
            "bridges": len(net.bridges),
            "longest_bridge": float(net.bridges.max(initial=0)),
            "points_in_graph": n,
            "landmarks": count,
            "landmark_rows": None if count == n else self.landmarks_.tolist(),
            "residual_variance": residual_variance(distances, chosen, masses, coordinates),
        }
        return self.embedding_

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return coordinates (M, n_components) of new vectors (M, D) in the fitted map.

        The path from a vector to a landmark goes through one of its ``n_neighbors`` nearest fitted
        vectors, the one that makes the path shortest.

        Raises:
            VectorsError: a row holds NaN or infinity, or D differs from that of the fit.
        """
        check_is_fitted(self)
        rows = as_vectors(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return self._place(rows)

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: there are too few vectors for so many neighbours.
        """
        if n <= self.n_neighbors:
            raise UserError(
                f"embedding 'isomap': {n:,} vectors are too few for {self.n_neighbors} neighbours "
                f"each: set isomap.n_neighbors to {max(n - 1, 2)} or less, or map more"
            )
        return needs(n, d, self.n_neighbors, min(n, self._landmark_count(n)))

    def _landmark_count(self, n: int) -> int:
        if self.landmarks != "auto":
            return self.landmarks
        if n <= _EXACT_LIMIT:
            return n
        return _LANDMARKS

    def _with_the_rest(
        self, rows: NDArray[np.float32], nodes: NDArray[np.int64], placed: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return coordinates of all ``rows``: ``placed`` for ``nodes``; the others are computed."""
        coordinates = np.empty((len(rows), self.n_components))
        coordinates[nodes] = placed
        rest = np.ones(len(rows), bool)
        rest[nodes] = False
        if rest.any():
            coordinates[rest] = self._place(rows[rest])
        return coordinates

    def _place(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        found = self._index.query(rows, self.n_neighbors)
        return self._triangulation.place_through(
            self._distances, self._places[found.indices], found.distances
        )

    def _report(self, done: int, total: int, message: str) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total, message)

    @property
    def _n_features_out(self) -> int:
        return self.n_components


def build(options: IsomapOptions, random_state: int) -> Embedding:
    """Build ``isomap``."""
    return LandmarkIsomap(
        n_neighbors=options.n_neighbors,
        n_components=options.n_components,
        landmarks=options.landmarks,
        landmark_choice=options.landmark_choice,
        disconnected=options.disconnected,
        random_state=random_state,
    )
