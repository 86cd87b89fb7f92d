"""Declares the embeddings."""

from collections.abc import Iterator

from latentkit.plugin import EmbeddingSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_PACKAGE = "latentkit_sklearn_embeddings"
_TRANSDUCTIVE = frozenset({"transductive"})


@hookimpl
def latentkit_embeddings() -> Iterator[EmbeddingSpec]:
    """Offer the embeddings."""
    yield _spec(
        "mds",
        "Multidimensional scaling by SMACOF: keeps the distances of all pairs",
        "distances:build_mds",
        "MdsOptions",
        _TRANSDUCTIVE,
    )
    yield _spec(
        "classical-mds",
        "Classical scaling: principal coordinates of any distance; PCA if it is Euclidean",
        "distances:build_classical_mds",
        "ClassicalMdsOptions",
        _TRANSDUCTIVE,
    )
    yield _spec(
        "spectral",
        "Laplacian eigenmaps: the slowest modes of a random walk on the neighbour graph",
        "graphs:build_spectral",
        "SpectralOptions",
        _TRANSDUCTIVE,
    )
    yield _spec(
        "lle",
        "Locally linear embedding: standard, modified, Hessian, or tangent-space alignment",
        "graphs:build_lle",
        "LleOptions",
    )
    yield _spec(
        "fast-ica",
        "Independent components: the directions along which latents are least Gaussian",
        "components:build_fast_ica",
        "FastIcaOptions",
        frozenset({"linear", "inverse"}),
    )
    yield _spec(
        "nmf",
        "Non-negative factors of latents that are shifted to a minimum of 0 in each dimension",
        "components:build_nmf",
        "NmfOptions",
        frozenset({"inverse"}),
    )
    yield _spec(
        "factor-analysis",
        "Factor analysis: common factors, with separate noise for each dimension",
        "components:build_factor_analysis",
        "FactorAnalysisOptions",
        frozenset({"linear"}),
    )


def _spec(
    name: str, summary: str, target: str, options: str, tags: frozenset[str] = frozenset()
) -> EmbeddingSpec:
    return EmbeddingSpec(
        name=name,
        summary=summary,
        target=f"{_PACKAGE}.{target}",
        options=f"{_PACKAGE}.options:{options}",
        tags=tags,
        requires=("scikit-learn>=1.6",),
    )
