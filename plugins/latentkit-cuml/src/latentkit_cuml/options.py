"""Options of ``cuml-umap`` and ``cuml-tsne``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from latentkit.plugin import Options, SearchRange


class UmapOptions(Options):
    """Options of ``cuml-umap``."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")
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
    metric: Literal["euclidean", "cosine", "correlation", "manhattan", "chebyshev"] = Field(
        "euclidean", description="Distance between vectors."
    )
    n_epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Number of steps; if not given, it depends on the number of points.",
    )
    init: Literal["auto", "spectral", "random"] = Field(
        "auto",
        description="Initial positions of the points; auto is spectral up to 262,144 points, and"
        " random above.",
    )
    build_algo: Literal["auto", "brute_force_knn", "nn_descent"] = Field(
        "auto",
        description="How neighbours are found: brute_force_knn exactly, nn_descent approximately;"
        " auto is exact if the map is repeatable, and otherwise up to 50,000 points.",
    )
    repeatable: bool = Field(
        True,
        description="Give cuML the seed; without it, the map is faster and differs between runs.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.min_dist > self.spread:
            raise ValueError(
                f"min_dist={self.min_dist:g} is above spread={self.spread:g}: lower min_dist, or "
                f"raise spread"
            )
        if self.build_algo == "nn_descent" and self.metric not in ("euclidean", "cosine"):
            raise ValueError(
                f"build_algo=nn_descent has no metric={self.metric}: choose brute_force_knn"
            )
        if self.build_algo == "nn_descent" and self.repeatable:
            raise ValueError(
                "build_algo=nn_descent is not repeatable: choose brute_force_knn, or set "
                "repeatable=false"
            )
        return self


class TsneOptions(Options):
    """Options of ``cuml-tsne``, which makes maps of two dimensions."""

    perplexity: Annotated[float, SearchRange(5, 100, log=True)] = Field(
        30.0,
        ge=2,
        le=300,
        description="Effective number of neighbours of each point; lowered if points are few.",
    )
    n_iter: int = Field(
        1000, ge=251, le=100_000, description="Number of steps; the first 250 exaggerate clusters."
    )
    init: Literal["pca", "random"] = Field("pca", description="Initial positions of the points.")
    method: Literal["fft", "barnes_hut", "exact"] = Field(
        "fft", description="How forces are computed; exact is for few points."
    )
    metric: Literal["euclidean", "cosine", "correlation", "manhattan", "chebyshev"] = Field(
        "euclidean", description="Distance between vectors."
    )
