"""The embeddings, computed by the pacmap library.

``pacmap``: Y. Wang, H. Huang, C. Rudin, Y. Shaposhnik, JMLR 22 (2021). ``localmap``: Y. Wang,
Y. Sun, H. Huang, C. Rudin, AAAI 39 (2025).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numba
import numpy as np
import pacmap  # type: ignore[import-untyped]
from numpy.typing import NDArray

from latentkit.plugin import (
    Embedding,
    ResourceEstimate,
    check_map_size,
    checked_new_vectors,
    checked_vectors,
)
from latentkit_pacmap.options import LocalmapOptions, PacmapOptions

_MID_NEAR_CANDIDATES = 6
"""Number of other points that pacmap draws for one mid-near pair."""

# Measured on one core with pacmap 0.9.1: 10,000 and 70,000 vectors of 16 to 784 dimensions.
_BYTES_PER_POINT = 1450
_BYTES_PER_PAIR = 8
_BYTES_PER_VALUE = 12
_SECONDS_PER_LOOKUP = 8e-6
_SECONDS_PER_VALUE = 5e-7
_SECONDS_PER_PAIR = 7e-7
_SECONDS_PER_PAIR_AND_STEP = 1.9e-8


class PairwiseMap:
    """An embedding by near, mid-near and far pairs, with scikit-learn's conventions.

    Args:
        name: name of the embedding, for messages.
        options: options of the embedding.
        random_state: seed, 0 to 2**32 - 1.
        make: function that builds the library's estimator from the arguments of both embeddings.
        cost: time of a step, relative to ``pacmap``.
    """

    def __init__(
        self,
        name: str,
        options: PacmapOptions,
        random_state: int,
        make: Callable[..., Any],
        cost: float,
    ) -> None:
        self.name = name
        self.options = options
        # pacmap's compiled loops use signed 32-bit integers.
        self.random_state = random_state % 2**31
        self._make = make
        self._cost = cost
        self._fitted: Any = None
        self._dimensions: int | None = None

    def fit(self, vectors: NDArray[np.floating[Any]]) -> PairwiseMap:
        """Fit to vectors (N, D)."""
        self.fit_transform(vectors)
        return self

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: too few vectors or dimensions, all vectors equal, or not all finite.
        """
        points = checked_vectors(vectors, self.name, **self._needs)
        options = self.options
        with _one_quiet_thread():
            fitted = self._make(
                n_components=options.n_components,
                n_neighbors=options.n_neighbors,
                MN_ratio=options.mn_ratio,
                FP_ratio=options.fp_ratio,
                distance=options.distance,
                num_iters=options.num_iters,
                random_state=self.random_state,
                save_tree=True,
            )
            coordinates: NDArray[np.float32] = fitted.fit_transform(points)
        self._fitted, self._dimensions = fitted, points.shape[1]
        return coordinates

    def transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Place new vectors (M, D) in the fitted map, each independently, by its near pairs.

        Returns:
            Coordinates (M, n_components). A fitted vector is placed near its point in the map, but
            not exactly there.

        Raises:
            UserError: the map is not fitted, or the vectors are not finite or differ in dimension
                from the fitted ones.
        """
        points = checked_new_vectors(vectors, self.name, self._dimensions)
        if not len(points):
            return np.empty((0, self.options.n_components), np.float32)
        with _one_quiet_thread():
            coordinates: NDArray[np.float32] = self._fitted.transform(points, save_pairs=False)
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate memory and time for ``n`` vectors of ``d`` dimensions on one core.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        check_map_size(n, d, self.name, **self._needs)
        pairs = sum(self.options.pairs())
        steps = sum(self.options.num_iters)
        memory = _BYTES_PER_POINT + _BYTES_PER_PAIR * pairs + _BYTES_PER_VALUE * d
        seconds = (
            _SECONDS_PER_LOOKUP * math.log2(max(n, 2))
            + _SECONDS_PER_VALUE * d
            + _SECONDS_PER_PAIR * pairs
            + _SECONDS_PER_PAIR_AND_STEP * pairs * steps * self._cost
        )
        return ResourceEstimate(bytes=n * memory, seconds=n * seconds)

    @property
    def _needs(self) -> dict[str, Any]:
        """What is checked of vectors: with fewer, pacmap changes options or never finishes."""
        near, mid, far = self.options.pairs()
        return {
            "n_components": self.options.n_components,
            "least": max(near + mid + far + 1, mid + _MID_NEAR_CANDIDATES),
            "remedy": f"map more, or lower {self.name}.n_neighbors",
        }


def build_pacmap(options: PacmapOptions, random_state: int) -> Embedding:
    """Return the ``pacmap`` estimator."""
    return PairwiseMap("pacmap", options, random_state, pacmap.PaCMAP, cost=1.0)


def build_localmap(options: LocalmapOptions, random_state: int) -> Embedding:
    """Return the ``localmap`` estimator."""

    def make(**arguments: Any) -> pacmap.LocalMAP:
        return pacmap.LocalMAP(low_dist_thres=options.low_dist_thres, **arguments)

    return PairwiseMap("localmap", options, random_state, make, cost=1.7)


@contextmanager
def _one_quiet_thread() -> Iterator[None]:
    """Run pacmap on one thread and without its warnings; restore all settings afterwards.

    pacmap's main loop is sequential, so more threads would not help. LocalMAP draws random numbers
    in each thread, so coordinates would depend on the number of threads. pacmap also sets faiss to
    one thread permanently, and warns whenever a seed is given.
    """
    threads, faiss_threads = numba.get_num_threads(), faiss.omp_get_max_threads()
    logger = logging.getLogger("pacmap")
    level = logger.level
    numba.set_num_threads(1)
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        numba.set_num_threads(threads)
        faiss.omp_set_num_threads(faiss_threads)
        logger.setLevel(level)
