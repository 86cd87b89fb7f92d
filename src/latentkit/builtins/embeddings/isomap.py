"""``isomap``: J. Tenenbaum, V. de Silva, J. Langford, Science 290 (2000); scikit-learn's.

Exact, and so quadratic in the number of points: memory for two n x n matrices of doubles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import Isomap

from latentkit.builtins.embeddings.options import IsomapOptions
from latentkit.plugin import Embedding, ResourceEstimate

_MATRICES = 2
_SECONDS_PER_PAIR = 2.2e-7


class SeededIsomap(Isomap):  # type: ignore[misc]
    """scikit-learn's Isomap with a seed.

    Its eigensolver starts from NumPy's global random state and takes no seed of its own; the
    state is set for the fit and put back afterwards.
    """

    def __init__(self, random_state: int = 0, n_neighbors: int = 10, n_components: int = 2) -> None:
        super().__init__(n_neighbors=n_neighbors, n_components=n_components)
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> SeededIsomap:  # noqa: N803
        """Fit to vectors (N, D)."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:  # noqa: N803
        """Return coordinates (N, n_components)."""
        state = np.random.get_state()
        np.random.seed(self.random_state)
        try:
            super().fit(X)
        finally:
            np.random.set_state(state)
        coordinates: NDArray[np.float64] = self.embedding_
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` points; ``d`` hardly matters."""
        return ResourceEstimate(bytes=_MATRICES * 8 * n * n, seconds=_SECONDS_PER_PAIR * n * n)


def build(options: IsomapOptions, random_state: int) -> Embedding:
    """Return the estimator."""
    return SeededIsomap(random_state, options.n_neighbors, options.n_components)
