"""Declares the embeddings ``pacmap`` and ``localmap``."""

from collections.abc import Iterator

from latentkit.plugin import EmbeddingSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_REQUIRES = ("pacmap>=0.9",)


@hookimpl
def latentkit_embeddings() -> Iterator[EmbeddingSpec]:
    """Offer the embeddings."""
    yield EmbeddingSpec(
        name="pacmap",
        summary="PaCMAP: near, mid-near and far pairs keep local and global structure",
        target="latentkit_pacmap.pairwise:build_pacmap",
        options="latentkit_pacmap.options:PacmapOptions",
        requires=_REQUIRES,
    )
    yield EmbeddingSpec(
        name="localmap",
        summary="LocalMAP: PaCMAP with a last phase that separates neighbouring clusters",
        target="latentkit_pacmap.pairwise:build_localmap",
        options="latentkit_pacmap.options:LocalmapOptions",
        requires=_REQUIRES,
    )
