"""Embeddings by components or factors, which can also place new points.

``fast-ica``: A. Hyvärinen, E. Oja, Neural Networks 13 (2000). ``nmf``: D. Lee, H. Seung, Nature 401
(1999); A. Cichocki, A. Phan (2009). ``factor-analysis``: D. Barber, Bayesian Reasoning and Machine
Learning, chapter 21.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import NMF, PCA, FactorAnalysis, FastICA
from sklearn.pipeline import Pipeline, make_pipeline

from latentkit.errors import UserError
from latentkit.plugin import (
    Embedding,
    ResourceEstimate,
    check_map_size,
    checked_new_vectors,
    checked_vectors,
    finite_vectors,
)
from latentkit_sklearn_embeddings.fit_errors import fitting
from latentkit_sklearn_embeddings.options import (
    FactorAnalysisOptions,
    FastIcaOptions,
    MapOptions,
    NmfOptions,
)

Floats = NDArray[np.floating[Any]]


class Components:
    """An estimator of scikit-learn, with latentkit's checks and facts.

    Args:
        name: name of the embedding, for messages.
        options: options of the embedding.
        estimator: scikit-learn's estimator.
    """

    def __init__(self, name: str, options: MapOptions, estimator: Any) -> None:
        self.name = name
        self.options = options
        self.facts_: dict[str, Any] = {}
        self._estimator = estimator
        self._dimensions: int | None = None

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: vectors that cannot be mapped.
        """
        points = self._fit_shift(
            checked_vectors(vectors, self.name, dtype=np.float64, **self._needs)
        )
        with fitting(self.name, "the latents may vary in fewer dimensions than the map") as said:
            coordinates: Floats = self._estimator.fit_transform(points)
        self._dimensions = points.shape[1]
        converged = not any("converge" in line for line in said)
        self.facts_ = {"steps": int(self._last.n_iter_), "converged": converged}
        return coordinates

    def transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map new vectors (M, D).

        Raises:
            UserError: the map is not fitted, or the vectors are not finite or differ in dimension
                from the fitted ones.
        """
        points = checked_new_vectors(vectors, self.name, self._dimensions, np.float64)
        if not len(points):
            return np.empty((0, self.options.n_components))
        with fitting(self.name, "the vectors are too far from the fitted ones"):
            coordinates: Floats = self._estimator.transform(self._shifted(points))
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        check_map_size(n, d, self.name, **self._needs)
        size = self.options.n_components
        return ResourceEstimate(
            bytes=n * (48 * d + 64 * size) + 64 * d * d,
            seconds=0.05 + 2e-6 * n * size + 5e-9 * n * d * d / (1 + d / 64),
        )

    @property
    def _needs(self) -> dict[str, Any]:
        return {
            "n_components": self.options.n_components,
            "least": self.options.n_components + 1,
        }

    @property
    def _last(self) -> Any:
        return self._estimator[-1] if isinstance(self._estimator, Pipeline) else self._estimator

    def _fit_shift(self, points: Floats) -> Floats:
        return points

    def _shifted(self, points: Floats) -> Floats:
        return points


class InvertibleComponents(Components):
    """Components whose coordinates can be mapped back to vectors."""

    def inverse_transform(self, coordinates: NDArray[np.floating[Any]]) -> Floats:
        """Return the vectors (M, D) of coordinates (M, n_components).

        Raises:
            UserError: the map is not fitted, or the coordinates have other dimensions than the map.
        """
        if self._dimensions is None:
            raise UserError(f"embedding {self.name!r}: fit it before inverse_transform is called")
        given = finite_vectors(coordinates, self.name, np.float64)
        if given.shape[1] != self.options.n_components:
            raise UserError(
                f"embedding {self.name!r}: the coordinates have {given.shape[1]} dimensions, "
                f"the map has {self.options.n_components}"
            )
        vectors: Floats = self._estimator.inverse_transform(given)
        return vectors


class NonNegative(InvertibleComponents):
    """NMF of vectors that are shifted so that the least fitted value of each dimension is 0.

    Latents may be negative, but NMF needs non-negative numbers. New vectors below the least fitted
    value are raised to it.
    """

    _least: Floats

    def inverse_transform(self, coordinates: NDArray[np.floating[Any]]) -> Floats:
        """Return the vectors (M, D) of coordinates (M, n_components), shifted back."""
        return super().inverse_transform(coordinates) + self._least

    def _fit_shift(self, points: Floats) -> Floats:
        self._least = points.min(axis=0)
        return self._shifted(points)

    def _shifted(self, points: Floats) -> Floats:
        return np.maximum(points - self._least, 0)


def build_fast_ica(options: FastIcaOptions, random_state: int) -> Embedding:
    """Return the ``fast-ica`` estimator."""
    # FastICA's whitening fails if the first dimension is constant, because it takes signs from it.
    whitened = PCA(options.n_components, whiten=True, svd_solver="full")
    turned = FastICA(
        algorithm=options.algorithm,
        fun=options.fun,
        max_iter=options.max_iter,
        tol=options.tol,
        whiten=False,
        random_state=random_state,
    )
    return InvertibleComponents("fast-ica", options, make_pipeline(whitened, turned))


def build_nmf(options: NmfOptions, random_state: int) -> Embedding:
    """Return the ``nmf`` estimator."""
    estimator = NMF(
        options.n_components,
        init=options.init,
        solver="cd" if options.beta_loss == "frobenius" else "mu",
        beta_loss=options.beta_loss,
        alpha_W=options.alpha,
        l1_ratio=options.l1_ratio,
        max_iter=options.max_iter,
        tol=options.tol,
        random_state=random_state,
    )
    return NonNegative("nmf", options, estimator)


def build_factor_analysis(options: FactorAnalysisOptions, random_state: int) -> Embedding:
    """Return the ``factor-analysis`` estimator, which is deterministic."""
    estimator = FactorAnalysis(
        options.n_components,
        svd_method="lapack",
        rotation=None if options.rotation == "none" else options.rotation,
        max_iter=options.max_iter,
        tol=options.tol,
    )
    return Components("factor-analysis", options, estimator)
