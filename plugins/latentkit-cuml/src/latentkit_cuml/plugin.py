"""Declares the embeddings ``cuml-umap`` and ``cuml-tsne``."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution

from latentkit.plugin import EmbeddingSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_NAMES = ("cuml-cu13", "cuml-cu12", "cuml")  # by CUDA on PyPI; the last one is that of conda


def _requires() -> tuple[str, ...]:
    """Return the requirement for the cuML that is installed, or else for that of CUDA 13."""
    for name in _NAMES:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        return (f"{name}>=26.2",)
    return (f"{_NAMES[0]}>=26.2",)


@hookimpl
def latentkit_embeddings() -> Iterator[EmbeddingSpec]:
    """Offer the embeddings."""
    yield EmbeddingSpec(
        name="cuml-umap",
        summary="UMAP of cuML, on a GPU of NVIDIA",
        target="latentkit_cuml.cuml_maps:build_umap",
        options="latentkit_cuml.options:UmapOptions",
        requires=_requires(),
    )
    yield EmbeddingSpec(
        name="cuml-tsne",
        summary="t-SNE of cuML in two dimensions, on a GPU of NVIDIA",
        target="latentkit_cuml.cuml_maps:build_tsne",
        options="latentkit_cuml.options:TsneOptions",
        requires=_requires(),
        tags=frozenset({"transductive"}),
    )
