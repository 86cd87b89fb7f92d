"""``tsne``: L. van der Maaten, G. Hinton, JMLR 9 (2008), computed by openTSNE or scikit-learn.

In two dimensions openTSNE (P. Policar et al., J. Stat. Softw. 109, 2024) computes the affinities
and places new points, and the descent of `tsne_gradient` optimises the map. In three dimensions
there is no fast gradient, so scikit-learn's tree is used. Initial positions, exaggeration and
learning rate follow D. Kobak, P. Berens, Nature Communications 10 (2019).
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import numba
import numpy as np
import openTSNE
from numpy.typing import NDArray
from openTSNE.affinity import PrecomputedAffinities
from openTSNE.affinity import joint_probabilities_nn as affinities_to
from openTSNE.tsne import PartialTSNEEmbedding
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from latentkit.builtins.embeddings.checks import checked_new, nearest, scaling
from latentkit.builtins.embeddings.options import TsneOptions
from latentkit.builtins.embeddings.tsne_gradient import Descent, MeshGradient
from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex
from latentkit.plugin import (
    Embedding,
    Progress,
    ResourceEstimate,
    check_map_size,
    checked_vectors,
)

_EXAGGERATION = 12
_EARLY_STEPS = 250
_START_SPREAD = 1e-4
_LEAST_VECTORS = 5
_NEW_PERPLEXITY = 5  # small, so that a new point follows its nearest neighbours
_NEW_STEPS = 250
_AT_ONCE = 65_536  # points whose affinities are in memory in float64


class Tsne(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """t-SNE with scikit-learn's conventions.

    Args:
        n_components: dimensions of the map, 2 or 3.
        perplexity: effective number of neighbours of each point; lowered if there are too few
            points.
        affinities: ``perplexity``, or ``uniform`` over the ``perplexity / 2`` nearest.
        n_iter: steps after the 250 steps of early exaggeration.
        method: ``opentsne``, ``scikit-learn``, or ``auto`` for the faster one.
        random_state: seed of all random draws.
    """

    def __init__(
        self,
        n_components: int = 2,
        perplexity: float = 30.0,
        affinities: str = "perplexity",
        n_iter: int = 500,
        method: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.perplexity = perplexity
        self.affinities = affinities
        self.n_iter = n_iter
        self.method = method
        self.random_state = random_state
        self.on_progress: Progress | None = None

    def fit(self, X: Any, y: Any = None) -> Tsne:  # noqa: N803
        """Fit to vectors (N, D)."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:  # noqa: N803
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: the vectors or options cannot be used.
        """
        method = self._chosen_method()
        points = checked_vectors(X, "tsne", n_components=self.n_components, least=_LEAST_VECTORS)
        self._exponent = scaling(points)
        points = np.ldexp(points, self._exponent)
        perplexity = min(float(self.perplexity), (len(points) - 1) / 3)
        fit = self._fit_opentsne if method == "opentsne" else self._fit_sklearn
        coordinates, divergence, steps = fit(points, perplexity)
        self._vectors, self.embedding_ = points, coordinates
        self.n_features_in_ = points.shape[1]
        self.facts_ = {
            "method": method,
            "perplexity": perplexity,
            "affinities": self.affinities,
            "iterations": steps,
            "kl_divergence": divergence if np.isfinite(divergence) else None,
        }
        return coordinates

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Place new vectors (M, D) in the fitted map, each independently of the others.

        A point starts at the affinity-weighted mean of its nearest neighbours' positions. In two
        dimensions it is then optimised, while the fitted map does not change.

        Raises:
            UserError: the map is not fitted, or the vectors are not like those of the fit.
        """
        dimensions, exponent = getattr(self, "n_features_in_", None), getattr(self, "_exponent", 0)
        points = checked_new(X, "tsne", dimensions, exponent)
        n = len(self._vectors)
        if not len(points):
            return np.empty((0, self.n_components))
        perplexity = min(_NEW_PERPLEXITY, (n - 1) / 3)
        neighbors, distances = nearest(self._vectors, max(1, int(3 * perplexity)), points)
        shares = _shares(neighbors, distances, perplexity, n)
        affinities = _sparse(neighbors, shares, n)
        start: NDArray[np.float64] = affinities @ self.embedding_
        return start if self.n_components == 3 else self._settle(start, affinities)

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` vectors of ``d`` dimensions.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped; see `check_map_size`.
        """
        check_map_size(n, d, "tsne", n_components=self.n_components, least=_LEAST_VECTORS)
        return _estimate(n, d, self._chosen_method(), self.n_iter, self._neighbors(self.perplexity))

    def _chosen_method(self) -> str:
        method = self.method
        if method == "auto":
            method = "opentsne" if self.n_components == 2 else "scikit-learn"
        if method == "opentsne" and self.n_components != 2:
            raise UserError(
                "embedding 'tsne': openTSNE has no fast gradient for maps of 3 dimensions: set "
                "tsne.method=scikit-learn, or tsne.n_components=2"
            )
        if method == "scikit-learn" and self.affinities != "perplexity":
            raise UserError(
                "embedding 'tsne': scikit-learn, which makes all maps of 3 dimensions, has no "
                "uniform affinities: set tsne.affinities=perplexity"
            )
        return method

    def _neighbors(self, perplexity: float) -> int:
        return max(1, int(perplexity / 2 if self.affinities == "uniform" else 3 * perplexity))

    def _fit_opentsne(
        self, points: NDArray[np.floating[Any]], perplexity: float
    ) -> tuple[NDArray[np.float64], float, int]:
        steps = _EARLY_STEPS + self.n_iter
        self._emit(0, 0, "finding neighbours")
        # If near points are next to each other, the cache has most of what the gradient reads.
        order = NeighborIndex(points).order
        points = points[order]
        affinities = self._affinities(points, perplexity)
        self._emit(0, steps, "optimising")
        gradient = MeshGradient(affinities, numba.get_num_threads())
        descent = Descent(self._start(points), gradient)
        done = count(1)
        for phase, exaggeration in ((_EARLY_STEPS, _EXAGGERATION), (self.n_iter, 1)):
            descent.run(phase, exaggeration, lambda: self._emit(next(done), steps, "optimising"))
        coordinates = np.empty_like(descent.points)
        coordinates[order] = descent.points
        return coordinates, gradient.divergence(descent.points), steps

    def _affinities(self, points: NDArray[np.floating[Any]], perplexity: float) -> Any:
        """Return the symmetric affinities (N, N) of the nearest points, with the sum 1."""
        searching = partial(self._emit, message="finding neighbours")
        neighbors, distances = nearest(points, self._neighbors(perplexity), on_progress=searching)
        # In float32, which halves the memory of the largest arrays.
        shares = np.ones(neighbors.shape, np.float32)
        if self.affinities == "perplexity":
            for first in range(0, len(points), _AT_ONCE):
                rows = slice(first, first + _AT_ONCE)
                shares[rows] = _shares(neighbors[rows], distances[rows], perplexity, len(points))
        del distances
        affinities = _sparse(neighbors, shares, len(points))
        affinities.sort_indices()
        affinities = affinities + affinities.T
        affinities.data /= affinities.data.sum(dtype=np.float64)
        return affinities

    def _fit_sklearn(
        self, points: NDArray[np.floating[Any]], perplexity: float
    ) -> tuple[NDArray[np.float64], float, int]:
        self._emit(0, 0, "scikit-learn is optimising")
        tsne = TSNE(
            n_components=self.n_components,
            perplexity=perplexity,
            early_exaggeration=_EXAGGERATION,
            init=self._start(points).astype(np.float32),
            max_iter=_EARLY_STEPS + self.n_iter,
            random_state=self.random_state,
            n_jobs=-1,
        )
        coordinates = tsne.fit_transform(points).astype(np.float64)
        # It may stop early. It counts steps from 0.
        return coordinates, float(tsne.kl_divergence_), int(tsne.n_iter_) + 1

    def _start(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        pca = PCA(self.n_components, svd_solver="covariance_eigh")
        start: NDArray[np.float64] = pca.fit_transform(points).astype(np.float64)
        start *= _START_SPREAD / start[:, 0].std()
        # Without noise, equal points would never separate, and points on a line would never
        # leave it.
        noise = np.random.default_rng(self.random_state).normal(size=start.shape)
        return start + 0.01 * _START_SPREAD * noise

    def _settle(self, start: NDArray[np.float64], affinities: Any) -> NDArray[np.float64]:
        n = len(self.embedding_)
        centre = (self.embedding_.max(0) + self.embedding_.min(0)) / 2
        # openTSNE asks for affinities of the fitted points, but does not use them here.
        nothing = PrecomputedAffinities(csr_matrix((n, n)), normalize=False)
        reference = openTSNE.TSNEEmbedding(self.embedding_ - centre, nothing)
        placed = PartialTSNEEmbedding(start - centre, reference, P=affinities)
        settled = placed.optimize(
            _NEW_STEPS,
            learning_rate=0.1,
            exaggeration=1.5,
            momentum=0.8,
            max_grad_norm=0.25,
            negative_gradient_method="fft",
            n_jobs=numba.get_num_threads(),
        )
        return np.asarray(np.array(settled) + centre, np.float64)

    def _emit(self, done: int, total: int, message: str) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total, message)


def _shares(
    neighbors: NDArray[np.int32], distances: NDArray[np.floating[Any]], perplexity: float, n: int
) -> NDArray[np.float64]:
    """Return the affinities (M, k) of points to their neighbours among ``n``; each row sums to 1.

    Args:
        neighbors: (M, k).
        distances: (M, k).
        perplexity: of each row.
        n: number of points that may be neighbours.
    """
    matrix = affinities_to(
        neighbors,
        distances,
        [perplexity],
        symmetrize=False,
        n_reference_samples=n,
        n_jobs=numba.get_num_threads(),
    )
    shares: NDArray[np.float64] = matrix.data.reshape(neighbors.shape)
    shares /= shares.sum(1, keepdims=True)
    return shares


def _sparse(neighbors: NDArray[np.int32], shares: NDArray[np.floating[Any]], n: int) -> Any:
    """Return a matrix (M, n) of the shares (M, k) of each row's neighbours (M, k)."""
    starts = np.arange(0, neighbors.size + 1, neighbors.shape[1])
    return csr_matrix((shares.ravel(), neighbors.ravel(), starts), (len(neighbors), n))


def _estimate(n: int, d: int, method: str, n_iter: int, neighbors: int) -> ResourceEstimate:
    steps = _EARLY_STEPS + n_iter
    k = min(neighbors, n)
    if method == "scikit-learn":
        return ResourceEstimate(
            bytes=4 * 2**20 + n * (60 * k + 8 * d + 400), seconds=steps * n * 1e-5
        )
    return ResourceEstimate(
        bytes=60 * 2**20 + n * (32 * k + 16 * d + 200),
        seconds=0.5 + n * k * d**0.5 * 1e-6 + steps * (0.002 + n * (k * 3e-9 + 3e-7)),
    )


def build(options: TsneOptions, random_state: int) -> Embedding:
    """Build ``tsne``."""
    return Tsne(random_state=random_state, **options.model_dump())
