"""Declares the embeddings."""

from collections.abc import Iterator

from latentkit.plugin import EmbeddingSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_PLACES_NEW: frozenset[str] = frozenset()
_TRANSDUCTIVE = frozenset({"transductive"})
_PARTS = (
    ("umap", "Umap", "UMAP: the fuzzy graph of nearest neighbours", _PLACES_NEW),
    ("largevis", "Largevis", "LargeVis: t-SNE's graph, repulsion from drawn points", _PLACES_NEW),
    ("infotsne", "Infotsne", "InfoTSNE: t-SNE by contrast with drawn points", _PLACES_NEW),
    ("tsne", "Perplexity", "t-SNE with the forces of all pairs", _TRANSDUCTIVE),
    ("phate", "Phate", "PHATE: distances between random walks, for branches", _TRANSDUCTIVE),
    ("pacmap", "Pacmap", "PaCMAP: near, mid-near and far pairs", _TRANSDUCTIVE),
)


@hookimpl
def latentkit_embeddings() -> Iterator[EmbeddingSpec]:
    """Offer the embeddings."""
    for name, options, summary, tags in _PARTS:
        yield EmbeddingSpec(
            name=f"torchdr-{name}",
            summary=f"{summary}; CPU or GPU",
            target=f"latentkit_torchdr.torch_maps:build_{name}",
            options=f"latentkit_torchdr.options:{options}Options",
            requires=("torchdr>=0.5,<0.6", "faiss-cpu>=1.9"),
            tags=tags,
        )
