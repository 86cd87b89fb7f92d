"""The embeddings, computed by cuML (https://docs.nvidia.com/cuml) as its version 26.8 documents it.

``umap``: C. Nolet et al., AAAI 35 (2021). ``tsne``: D. Chan et al., SBAC-PAD (2018).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import BrokenEnvironmentError, ResourceError, UserError
from latentkit.plugin import (
    Embedding,
    ResourceEstimate,
    check_map_size,
    checked_new_vectors,
    checked_vectors,
)
from latentkit_cuml.options import TsneOptions, UmapOptions

Floats = NDArray[np.float32]

_LEAST = 6
_MOST_SPECTRAL = 2**18
"""Points up to which cuML starts from eigenvectors; it failed with one more (cuml issue 6370)."""
_MOST_NEIGHBORS_OF_TSNE = 1023


class CumlMap:
    """An embedding of cuML, with scikit-learn's conventions.

    Args:
        name: name of the embedding, for messages.
        n_components: dimensions of the map.
    """

    def __init__(self, name: str, n_components: int) -> None:
        self.name = name
        self.n_components = n_components
        self.facts_: dict[str, Any] = {}
        self._dimensions: int | None = None
        self._fitted: Any = None

    def fit(self, vectors: NDArray[np.floating[Any]]) -> CumlMap:
        """Fit to vectors (N, D)."""
        self.fit_transform(vectors)
        return self

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Map vectors (N, D) to coordinates (N, n_components).

        Raises:
            UserError: too few vectors or dimensions, all vectors equal, or not all finite.
            ResourceError: the memory of the GPU does not suffice.
        """
        points = checked_vectors(vectors, self.name, n_components=self.n_components, least=_LEAST)
        n, d = points.shape
        with self._computing(n):
            fitted = self._estimator(n)
            coordinates = _in_memory(fitted.fit_transform(points))
        if not np.isfinite(coordinates).all():
            raise UserError(
                f"embedding {self.name!r}: cuML gave coordinates that are not finite: set "
                f"{self.name}.init=random, or scale the vectors"
            )
        self._fitted, self._dimensions = fitted, d
        return coordinates

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Estimate main memory and time for ``n`` vectors of ``d`` dimensions.

        This is a rough guess that was not measured, because cuML needs a GPU. The memory of the GPU
        is not included.

        Raises:
            UserError: so few vectors or dimensions cannot be mapped.
        """
        check_map_size(n, d, self.name, n_components=self.n_components, least=_LEAST)
        return ResourceEstimate(bytes=2**30 + n * (12 * d + 100), seconds=5 + 1e-5 * n)

    def _estimator(self, n: int) -> Any:
        raise NotImplementedError

    @contextmanager
    def _computing(self, n: int) -> Iterator[None]:
        """Hide cuML's warnings of what it chooses, and turn its errors into messages."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except MemoryError as error:
            raise ResourceError(
                f"embedding {self.name!r}: the GPU has too little memory for {n:,} "
                f"vectors: map fewer"
            ) from error
        except (ValueError, RuntimeError, NotImplementedError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"embedding {self.name!r} failed: {reason}") from error


class CumlUmap(CumlMap):
    """UMAP of cuML.

    Args:
        options: options of ``cuml-umap``.
        random_state: seed, 0 to 2**32 - 1.
    """

    def __init__(self, options: UmapOptions, random_state: int) -> None:
        super().__init__("cuml-umap", options.n_components)
        self.options = options
        self.random_state = random_state
        self._cuml = _manifold()

    def transform(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """Place new vectors (M, D) in the fitted map.

        Raises:
            UserError: the map is not fitted, or the vectors are not finite or differ in dimension
                from the fitted ones.
        """
        points = checked_new_vectors(vectors, self.name, self._dimensions)
        if not len(points):
            return np.empty((0, self.n_components), np.float32)
        with self._computing(len(points)):
            return _in_memory(self._fitted.transform(points))

    def _estimator(self, n: int) -> Any:
        options = self.options
        start = "spectral" if n <= _MOST_SPECTRAL else "random"
        chosen = {
            "n_neighbors": min(options.n_neighbors, n - 1),
            "init": start if options.init == "auto" else options.init,
        }
        self.facts_ = {**chosen, "repeatable": options.repeatable}
        return self._cuml.UMAP(
            n_components=options.n_components,
            min_dist=options.min_dist,
            spread=options.spread,
            metric=options.metric,
            n_epochs=options.n_epochs,
            build_algo=options.build_algo,
            random_state=self.random_state if options.repeatable else None,
            output_type="numpy",
            **chosen,
        )


class CumlTsne(CumlMap):
    """t-SNE of cuML.

    Args:
        options: options of ``cuml-tsne``.
        random_state: seed, 0 to 2**32 - 1.
    """

    def __init__(self, options: TsneOptions, random_state: int) -> None:
        super().__init__("cuml-tsne", 2)
        self.options = options
        self.random_state = random_state
        self._cuml = _manifold()

    def _estimator(self, n: int) -> Any:
        options = self.options
        perplexity = min(options.perplexity, (n - 1) / 3)
        neighbors = min(int(3 * perplexity), _MOST_NEIGHBORS_OF_TSNE)
        # cuML's documentation: not completely deterministic, even with a seed.
        self.facts_ = {"perplexity": perplexity, "repeatable": False}
        return self._cuml.TSNE(
            n_components=2,
            perplexity=perplexity,
            n_neighbors=neighbors,
            max_iter=options.n_iter,
            init=options.init,
            method=options.method,
            metric=options.metric,
            # cuML squares distances; this is meant for Euclidean ones.
            square_distances=options.metric == "euclidean",
            random_state=self.random_state,
            output_type="numpy",
        )


def build_umap(options: UmapOptions, random_state: int) -> Embedding:
    """Return the ``cuml-umap`` estimator."""
    return CumlUmap(options, random_state)


def build_tsne(options: TsneOptions, random_state: int) -> Embedding:
    """Return the ``cuml-tsne`` estimator."""
    return CumlTsne(options, random_state)


def _manifold() -> Any:
    """Import cuML.

    Raises:
        BrokenEnvironmentError: it cannot be imported, for example because there is no GPU.
    """
    try:
        return importlib.import_module("cuml.manifold")
    except Exception as error:  # its import runs CUDA, which fails in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenEnvironmentError(
            f"cuML cannot be imported ({reason}): it needs a GPU of NVIDIA and the package for its "
            f"CUDA, cuml-cu12 or cuml-cu13"
        ) from error


def _in_memory(coordinates: Any) -> Floats:
    return np.ascontiguousarray(coordinates, np.float32)
