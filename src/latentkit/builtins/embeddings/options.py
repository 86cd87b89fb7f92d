"""Options of the built-in embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from latentkit.plugin import Options, SearchRange


class EmbeddingOptions(Options):
    """Options that all built-in embeddings share."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")


class PcaOptions(EmbeddingOptions):
    """Options of ``pca``."""


class IsomapOptions(EmbeddingOptions):
    """Options of ``isomap``."""

    n_neighbors: Annotated[int, SearchRange(5, 50)] = Field(
        10, ge=2, le=1000, description="Number of neighbours of each point in the graph."
    )
    landmarks: Annotated[int, Field(ge=4, lt=2**31)] | Literal["auto"] = Field(
        "auto",
        description="Number of points from which distances along the graph are measured. 'auto':"
        " all points, up to 2,000, which is exact Isomap; 256 if there are more.",
    )
    landmark_choice: Literal["k-means++", "farthest", "random"] = Field(
        "k-means++",
        description="How landmarks are chosen: k-means++ draws them spread out, farthest takes"
        " them as far apart as possible, random draws all points with equal probability.",
    )
    disconnected: Literal["bridge", "largest", "error"] = Field(
        "bridge",
        description="What happens if the graph is not connected: bridge joins its components by"
        " their shortest edges; largest fits the largest component and places the other points by"
        " their nearest neighbours in it; error stops with a message.",
    )


class TsneOptions(EmbeddingOptions):
    """Options of ``tsne``."""

    perplexity: Annotated[float, SearchRange(5, 100, log=True)] = Field(
        30.0,
        ge=2,
        le=1000,
        description="Effective number of neighbours of each point; lowered if points are few.",
    )
    affinities: Literal["perplexity", "uniform"] = Field(
        "perplexity",
        description="Weights of neighbours: perplexity weights them by distance; uniform weights "
        "the perplexity / 2 nearest equally, which is faster.",
    )
    n_iter: int = Field(
        500, ge=1, le=100_000, description="Steps after the 250 steps of early exaggeration."
    )
    method: Literal["auto", "opentsne", "scikit-learn"] = Field(
        "auto",
        description="Library that optimises the map; auto takes openTSNE in 2-D and scikit-learn"
        " in 3-D.",
    )


class UmapOptions(EmbeddingOptions):
    """Options of ``umap``."""

    n_neighbors: Annotated[int, SearchRange(5, 100, log=True)] = Field(
        15,
        ge=2,
        le=1000,
        description="Number of neighbours of each point; lowered if points are few.",
    )
    min_dist: Annotated[float, SearchRange(0.0, 0.9)] = Field(
        0.1, ge=0, lt=1, description="How close together points may be in the map."
    )
    spread: float = Field(
        1.0, gt=0, le=100, description="Scale of the distances between points that are not close."
    )
    metric: Literal["euclidean", "cosine", "correlation"] = Field(
        "euclidean",
        description="Distance between vectors; correlation is the cosine of centred vectors. Only"
        " euclidean is possible with method=umap-learn.",
    )
    n_epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Number of steps; if not given, it depends on the number of points.",
    )
    init: Literal["spectral", "pca", "random"] = Field(
        "spectral", description="Initial positions of the points."
    )
    target: Literal["none", "labels"] = Field(
        "none",
        description="labels draws points of one class together, and others apart. The map then"
        " shows what it was told, so it cannot tell how well the vectors separate the classes.",
    )
    method: Literal["latentkit", "umap-learn"] = Field(
        "latentkit",
        description="What optimises the map: latentkit, on all cores and with the same map for one"
        " seed on any number of them, or the library umap-learn, whose seeded fit uses one core.",
    )
    parallel: bool = Field(
        False,
        description="With umap-learn, use all cores; the map then differs between runs with the"
        " same seed. If it is given without a method, the method is umap-learn.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_in_earlier_versions(cls, given: Any) -> Any:
        # Complete options of version 0.1 have this option and no method.
        if isinstance(given, dict) and "parallel" in given and "method" not in given:
            return given | {"method": "umap-learn"}
        return given

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.min_dist > self.spread:
            raise ValueError(
                f"min_dist={self.min_dist:g} is above spread={self.spread:g}: lower min_dist, or "
                f"raise spread"
            )
        if self.method == "umap-learn" and self.metric != "euclidean":
            raise ValueError(f"metric={self.metric} needs method=latentkit")
        if self.method == "latentkit" and self.parallel:
            raise ValueError(
                "parallel=true is for method=umap-learn; method=latentkit uses all cores anyway"
            )
        return self
