"""Embeddings by the graph of nearest neighbours.

``spectral``: M. Belkin, P. Niyogi, Neural Computation 15 (2003). ``lle``: S. Roweis, L. Saul,
Science 290 (2000); modified: Z. Zhang, J. Wang, NIPS 19 (2006); Hessian: D. Donoho, C. Grimes, PNAS
100 (2003); ltsa: Z. Zhang, H. Zha, SIAM J. Sci. Comput. 26 (2004).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.manifold import LocallyLinearEmbedding, SpectralEmbedding

from latentkit.errors import UserError
from latentkit.plugin import (
    Embedding,
    ResourceEstimate,
    check_map_size,
    checked_new_vectors,
    checked_vectors,
)
from latentkit_sklearn_embeddings.fit_errors import fitting
from latentkit_sklearn_embeddings.options import LleOptions, SpectralOptions

Floats = NDArray[np.floating[Any]]

# Rough estimates, because the fill-in of a sparse factorisation depends on the graph.
# tests/benchmarks/sklearn_maps.py prints the estimates next to measured values.
_BYTES_PER_PAIR = 32
_BYTES_PER_EDGE_OF_SPECTRAL = 300
_BYTES_PER_EDGE_OF_LLE = 400
_DENSE_BELOW = 200


class Spectral:
    """Laplacian eigenmaps.

    Args:
        options: options of ``spectral``.
        random_state: seed of the start vector in the search for eigenvectors.
    """

    def __init__(self, options: SpectralOptions, random_state: int) -> None:
        self.options = options
        self.random_state = random_state
        self.facts_: dict[str, Any] = {}

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: vectors that cannot be mapped.
        """
        options = self.options
        points = checked_vectors(vectors, "spectral", dtype=np.float64, **self._needs)
        fitted = SpectralEmbedding(
            options.n_components,
            affinity=options.affinity,
            n_neighbors=options.n_neighbors,
            gamma=options.gamma or None,
            eigen_solver="arpack",
            eigen_tol=options.eigen_tol or "auto",
            random_state=self.random_state,
        )
        with fitting("spectral", "raise spectral.n_neighbors"):
            coordinates: Floats = fitted.fit_transform(points)
        # Components of the graph are separated, and the map may show no structure within them.
        pieces, _ = connected_components(fitted.affinity_matrix_, directed=False)
        self.facts_ = {"graph_pieces": int(pieces)}
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        options = self.options
        check_map_size(n, d, "spectral", **self._needs)
        if options.affinity == "rbf":
            return ResourceEstimate(bytes=_BYTES_PER_PAIR * n * n, seconds=0.05 + 4e-7 * n * n)
        edges = n * options.n_neighbors
        return ResourceEstimate(
            bytes=_BYTES_PER_EDGE_OF_SPECTRAL * edges + 16 * n * d,
            seconds=0.05 + 4e-5 * edges + 1e-10 * n * n * d,
        )

    @property
    def _needs(self) -> dict[str, Any]:
        options = self.options
        if options.affinity == "rbf":
            return {"n_components": options.n_components, "least": options.n_components + 2}
        return {
            "n_components": options.n_components,
            "least": options.n_neighbors + 1,
            "remedy": "map more, or lower spectral.n_neighbors",
        }


class Lle:
    """Locally linear embedding.

    Args:
        options: options of ``lle``.
        random_state: seed of the start vector in the search for eigenvectors.
    """

    def __init__(self, options: LleOptions, random_state: int) -> None:
        self.options = options
        self.random_state = random_state
        self.facts_: dict[str, Any] = {}
        self._fitted: Any = None
        self._dimensions: int | None = None

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: vectors that cannot be mapped, or too few neighbours.
        """
        options, size = self.options, self.options.n_components
        needed = {"hessian": size * (size + 3) // 2 + 1, "ltsa": size + 1, "modified": size}
        if options.n_neighbors < needed.get(options.method, 1):
            raise UserError(
                f"embedding 'lle': {options.method} in {size} dimensions needs "
                f"lle.n_neighbors={needed[options.method]} or more, not {options.n_neighbors}"
            )
        points = checked_vectors(vectors, "lle", dtype=np.float64, **self._needs)
        fitted = LocallyLinearEmbedding(
            n_neighbors=options.n_neighbors,
            n_components=size,
            reg=options.reg,
            method=options.method,
            eigen_solver=self._solver(len(points)),
            random_state=self.random_state,
        )
        advice = "try lle.eigen_solver=dense, another lle.method, or more lle.n_neighbors"
        with fitting("lle", advice):
            coordinates: Floats = fitted.fit_transform(points)
        self._fitted, self._dimensions = fitted, points.shape[1]
        self.facts_ = {"reconstruction_error": float(fitted.reconstruction_error_)}
        return coordinates

    def transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Place new vectors (M, D) by the weights of their neighbours.

        Raises:
            UserError: the map is not fitted, or the vectors are not finite or differ in dimension
                from the fitted ones.
        """
        points = checked_new_vectors(vectors, "lle", self._dimensions, np.float64)
        if not len(points):
            return np.empty((0, self.options.n_components))
        coordinates: Floats = self._fitted.transform(points)
        return coordinates

    def _solver(self, n: int) -> str:
        chosen = self.options.eigen_solver
        if chosen != "auto":
            return chosen
        return "dense" if n <= _DENSE_BELOW else "arpack"

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        check_map_size(n, d, "lle", **self._needs)
        k = self.options.n_neighbors
        # All methods except the standard one fill a matrix with all pairs of neighbours.
        edges = n * k * (1 if self.options.method == "standard" else k)
        dense = n * n if self._solver(n) == "dense" else 0
        return ResourceEstimate(
            bytes=_BYTES_PER_EDGE_OF_LLE * edges + _BYTES_PER_PAIR * dense + 16 * n * d,
            seconds=0.05 + 1e-5 * edges + 1e-4 * n + 1e-10 * dense * n,
        )

    @property
    def _needs(self) -> dict[str, Any]:
        return {
            "n_components": self.options.n_components,
            "least": self.options.n_neighbors + 2,
            "remedy": "map more, or lower lle.n_neighbors",
        }


def build_spectral(options: SpectralOptions, random_state: int) -> Embedding:
    """Return the ``spectral`` estimator."""
    return Spectral(options, random_state)


def build_lle(options: LleOptions, random_state: int) -> Embedding:
    """Return the ``lle`` estimator."""
    return Lle(options, random_state)
