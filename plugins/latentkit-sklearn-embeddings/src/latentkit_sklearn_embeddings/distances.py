"""Embeddings by the distances of all pairs; memory grows with the square of the vectors' number.

``mds``: SMACOF, I. Borg, P. Groenen, Modern Multidimensional Scaling (2005). ``classical-mds``:
W. Torgerson, Psychometrika 17 (1952).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh
from sklearn.decomposition import PCA
from sklearn.manifold import smacof
from sklearn.metrics import pairwise_distances

from latentkit.errors import UserError
from latentkit.plugin import Embedding, ResourceEstimate, check_map_size, checked_vectors
from latentkit_sklearn_embeddings.fit_errors import fitting
from latentkit_sklearn_embeddings.options import ClassicalMdsOptions, MdsOptions

Floats = NDArray[np.floating[Any]]

# Bytes: the float64 arrays of all pairs that exist at the same time in scikit-learn 1.9's `smacof`
# (distances, disparities, ratio, its negative, two temporaries of the stress; more for the
# isotonic regression), rounded up. Seconds: a rough guess for a few passes over these arrays.
# tests/benchmarks/sklearn_maps.py prints both next to measured values.
_BYTES_PER_PAIR_OF_MDS = 56
_BYTES_PER_PAIR_OF_ORDER = 160
_BYTES_PER_PAIR_OF_CLASSICAL = 32
_SECONDS_PER_PAIR_AND_STEP = 2.5e-8
_USUAL_STEPS = 100
_LEAST_OF_MDS = 3


class Mds:
    """Multidimensional scaling.

    Args:
        options: options of ``mds``.
        random_state: seed of random starts.
    """

    def __init__(self, options: MdsOptions, random_state: int) -> None:
        self.options = options
        self.random_state = random_state
        self.facts_: dict[str, Any] = {}

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: vectors that cannot be mapped.
        """
        options = self.options
        points = checked_vectors(
            vectors, "mds", n_components=options.n_components, least=_LEAST_OF_MDS, dtype=np.float64
        )
        start = None
        if options.init == "classical":  # for Euclidean distances, these are principal components
            start = PCA(options.n_components, svd_solver="full").fit_transform(points)
        with fitting("mds", "try mds.init=random"):
            coordinates, stress, steps = smacof(
                pairwise_distances(points),
                metric=options.metric,
                n_components=options.n_components,
                init=start,
                n_init=1 if start is not None else options.n_init,
                max_iter=options.max_iter,
                eps=options.eps,
                random_state=self.random_state,
                normalized_stress=not options.metric,
                return_n_iter=True,
            )
        kind = "stress" if options.metric else "normalised_stress"
        self.facts_ = {kind: float(stress), "steps": int(steps)}
        found: Floats = coordinates
        return found

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        options = self.options
        check_map_size(n, d, "mds", n_components=options.n_components, least=_LEAST_OF_MDS)
        starts = 1 if options.init == "classical" else options.n_init
        steps = min(_USUAL_STEPS, options.max_iter) * starts
        per_pair = _BYTES_PER_PAIR_OF_MDS if options.metric else _BYTES_PER_PAIR_OF_ORDER
        slower = 1 if options.metric else 10
        return ResourceEstimate(
            bytes=per_pair * n * n + 16 * n * d,
            seconds=0.01 + slower * _SECONDS_PER_PAIR_AND_STEP * steps * n * n,
        )


class ClassicalMds:
    """Classical scaling: the leading eigenvectors of the doubly centred squared distances.

    Args:
        options: options of ``classical-mds``.
        random_state: seed of the start vector in the search for eigenvectors.
    """

    def __init__(self, options: ClassicalMdsOptions, random_state: int) -> None:
        self.options = options
        self.random_state = random_state
        self.facts_: dict[str, Any] = {}

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: vectors that cannot be mapped.
        """
        size = self.options.n_components
        points = checked_vectors(
            vectors, "classical-mds", n_components=size, least=size + 2, dtype=np.float64
        )
        squares = pairwise_distances(points, metric=self.options.metric) ** 2
        means = squares.mean(axis=0)
        squares -= means
        squares -= means[:, None] - means.mean()
        squares *= -0.5
        start = np.random.default_rng(self.random_state).normal(size=len(points))
        with fitting("classical-mds", "choose another classical-mds.metric"):
            values, axes = eigsh(squares, k=size, which="LA", v0=start)
        order = np.argsort(values)[::-1]
        values, axes = values[order], axes[:, order]
        if values[0] <= 0:
            raise UserError(
                "embedding 'classical-mds': the distance between all vectors is 0: choose another "
                "classical-mds.metric"
            )
        # The sign of an eigenvector is arbitrary, so make its largest entry positive.
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(size)])
        self.facts_ = {"eigenvalues": [float(value) for value in values]}
        coordinates: Floats = axes * np.sqrt(np.maximum(values, 0))
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        size = self.options.n_components
        check_map_size(n, d, "classical-mds", n_components=size, least=size + 2)
        return ResourceEstimate(
            bytes=_BYTES_PER_PAIR_OF_CLASSICAL * n * n + 16 * n * d,
            seconds=0.01 + (6e-8 + 1e-9 * d) * n * n,
        )


def build_mds(options: MdsOptions, random_state: int) -> Embedding:
    """Return the ``mds`` estimator."""
    return Mds(options, random_state)


def build_classical_mds(options: ClassicalMdsOptions, random_state: int) -> Embedding:
    """Return the ``classical-mds`` estimator."""
    return ClassicalMds(options, random_state)
