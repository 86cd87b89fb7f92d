"""Options of the built-in embeddings."""

from __future__ import annotations

from typing import Annotated

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
