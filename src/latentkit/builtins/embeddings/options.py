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
