"""``pca``: K. Pearson 1901, computed exactly by scikit-learn from the covariance's eigenvectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA

from latentkit.builtins.embeddings.checks import scaling
from latentkit.builtins.embeddings.options import PcaOptions
from latentkit.errors import UserError
from latentkit.plugin import (
    Embedding,
    ResourceEstimate,
    check_map_size,
    checked_new_vectors,
    checked_vectors,
    finite_vectors,
)


class Pca(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Principal component analysis with the checks and facts of a map. Nothing in it is random.

    Args:
        n_components: dimensions of the map, 2 or 3.
    """

    def __init__(self, n_components: int = 2) -> None:
        self.n_components = n_components

    def fit(self, X: Any, y: Any = None) -> Pca:  # noqa: N803
        """Fit to vectors (N, D).

        Raises:
            UserError: the vectors cannot be used; see `checked_vectors`.
        """
        n = self.n_components
        points = checked_vectors(X, "pca", n_components=n, least=n, dtype=None)
        # 'covariance_eigh' centres the vectors before it multiplies them, and gives the axes
        # definite signs.
        exponent = scaling(points)
        self._pca = PCA(self.n_components, svd_solver="covariance_eigh")
        self._pca.fit(np.ldexp(points, exponent))
        self._pca.mean_ = np.ldexp(self._pca.mean_, -exponent)  # the axes have no scale
        self.n_features_in_, self._dtype = points.shape[1], points.dtype
        self.explained_variance_ratio_ = self._pca.explained_variance_ratio_
        self.facts_ = {
            "explained_variance_ratio": [float(part) for part in self.explained_variance_ratio_]
        }
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.floating[Any]]:  # noqa: N803
        """Map vectors (N, D) to coordinates (N, n_components)."""
        return self.fit(X).transform(X)

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:  # noqa: N803
        """Map new vectors (M, D) with the fitted axes.

        Raises:
            UserError: the map is not fitted, or the vectors are not like those of the fit.
        """
        dimensions, dtype = getattr(self, "n_features_in_", None), getattr(self, "_dtype", None)
        points = checked_new_vectors(X, "pca", dimensions, dtype)
        if not len(points):
            return np.empty((0, self.n_components), points.dtype)
        coordinates: NDArray[np.floating[Any]] = self._pca.transform(points)
        return coordinates

    def inverse_transform(self, X: Any) -> NDArray[np.floating[Any]]:  # noqa: N803
        """Return the vectors (M, D) of coordinates (M, n_components).

        Raises:
            UserError: the map is not fitted, or the coordinates cannot be of this map.
        """
        if not hasattr(self, "_pca"):
            raise UserError("embedding 'pca': fit it before inverse_transform is called")
        coordinates = finite_vectors(X, "pca", self._dtype)
        if coordinates.shape[1] != self.n_components:
            raise UserError(
                f"embedding 'pca': the coordinates have {coordinates.shape[1]} dimensions, the map "
                f"has {self.n_components}"
            )
        vectors: NDArray[np.floating[Any]] = self._pca.inverse_transform(coordinates)
        return vectors

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped; see `check_map_size`.
        """
        check_map_size(n, d, "pca", n_components=self.n_components, least=self.n_components)
        return ResourceEstimate(
            bytes=n * (d + 12 * self.n_components) + 40 * d * d,
            seconds=0.01 + 4e-11 * n * d * d + 1e-9 * d**3,
        )


def build(options: PcaOptions, random_state: int) -> Embedding:
    """Build ``pca``."""
    return Pca(options.n_components)
