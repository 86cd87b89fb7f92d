"""The plugin that declares the built-in embeddings."""

from collections.abc import Iterator

from latentkit.plugin import EmbeddingSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.embeddings"


@hookimpl
def latentkit_embeddings() -> Iterator[EmbeddingSpec]:
    """Offer the embeddings."""
    yield EmbeddingSpec(
        name="pca",
        summary="PCA: the linear map that keeps the most variance",
        target=f"{_HERE}.pca:build",
        options=f"{_HERE}.options:PcaOptions",
        tags=frozenset({"linear", "inverse"}),
    )
    yield EmbeddingSpec(
        name="isomap",
        summary="Isomap: keeps distances along the nearest-neighbour graph",
        target=f"{_HERE}.isomap:build",
        options=f"{_HERE}.options:IsomapOptions",
    )
    yield EmbeddingSpec(
        name="tsne",
        summary="t-SNE: keeps neighbours together, and shows clusters",
        target=f"{_HERE}.tsne:build",
        options=f"{_HERE}.options:TsneOptions",
    )
    yield EmbeddingSpec(
        name="umap",
        summary="UMAP: keeps neighbours together, and more of the global structure than t-SNE",
        target=f"{_HERE}.umap:build",
        options=f"{_HERE}.options:UmapOptions",
    )
