"""Options of the built-in embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from latentkit.plugin import Options, SearchRange


class EmbeddingOptions(Options):
    """What every embedding has."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")


class PcaOptions(EmbeddingOptions):
    """Options of ``pca``."""


class IsomapOptions(EmbeddingOptions):
    """Options of ``isomap``."""

    n_neighbors: Annotated[int, SearchRange(5, 50)] = Field(
        10, ge=2, le=1000, description="Neighbours of each point in the graph."
    )
    landmarks: Annotated[int, Field(ge=4)] | Literal["auto"] = Field(
        "auto",
        description="Points from which distances along the graph are measured. 'auto': all of up"
        " to 2,000 points, which is Isomap itself; else 256.",
    )
    landmark_choice: Literal["k-means++", "farthest", "random"] = Field(
        "k-means++", description="How landmarks are chosen: spread, as far apart as can be, evenly."
    )
    disconnected: Literal["bridge", "largest", "error"] = Field(
        "bridge",
        description="Where the graph falls apart: join its components by their shortest edges; fit"
        " the largest and place the other points by their nearest in it; or refuse.",
    )


class TsneOptions(EmbeddingOptions):
    """Options of ``tsne``."""

    perplexity: Annotated[float, SearchRange(5, 100, log=True)] = Field(
        30.0,
        ge=2,
        le=1000,
        description="How many neighbours of each point count; lowered for few points.",
    )
    affinities: Literal["perplexity", "uniform"] = Field(
        "perplexity",
        description="How neighbours count: by their distance, or the perplexity / 2 nearest alike, "
        "which is faster.",
    )
    n_iter: int = Field(
        500, ge=1, le=100_000, description="Steps after the 250 of early exaggeration."
    )
    method: Literal["auto", "opentsne", "scikit-learn"] = Field(
        "auto", description="Who optimises: openTSNE in 2-D and scikit-learn in 3-D, unless chosen."
    )


class UmapOptions(EmbeddingOptions):
    """Options of ``umap``."""

    n_neighbors: Annotated[int, SearchRange(5, 100, log=True)] = Field(
        15, ge=2, le=1000, description="Neighbours of each point; lowered for few points."
    )
    min_dist: Annotated[float, SearchRange(0.0, 0.9)] = Field(
        0.1, ge=0, lt=1, description="How close points may lie in the map."
    )
    n_epochs: int | None = Field(
        None, ge=1, le=100_000, description="Steps; by the number of points unless given."
    )
    init: Literal["spectral", "pca", "random"] = Field(
        "spectral", description="Where points start."
    )
    parallel: bool = Field(
        False, description="Use all cores; the map then differs from run to run."
    )
