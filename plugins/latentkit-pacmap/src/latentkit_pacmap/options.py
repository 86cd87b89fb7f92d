"""Options of ``pacmap`` and ``localmap``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from latentkit.plugin import Options, SearchRange

Iterations = Annotated[int, Field(ge=1, le=100_000)]


class PacmapOptions(Options):
    """Options of ``pacmap``."""

    n_components: int = Field(2, ge=2, le=3, description="Dimensions of the map.")
    n_neighbors: Annotated[int, SearchRange(5, 50)] = Field(
        10, ge=2, le=1000, description="Near pairs per point; more of them keep coarser structure."
    )
    mn_ratio: Annotated[float, SearchRange(0.0, 2.0)] = Field(
        0.5, ge=0, le=10, description="Mid-near pairs per near pair; they arrange the clusters."
    )
    # With less than 0.5, a point with two near pairs would have no far pair.
    fp_ratio: Annotated[float, SearchRange(0.5, 4.0)] = Field(
        2.0, ge=0.5, le=20, description="Far pairs per near pair; they push points apart."
    )
    distance: Literal["euclidean", "manhattan", "angular"] = Field(
        "euclidean", description="Distance between vectors."
    )
    num_iters: tuple[Iterations, Iterations, Iterations] = Field(
        (100, 100, 250), description="Steps of the three phases: global, intermediate, local."
    )

    def pairs(self) -> tuple[int, int, int]:
        """Return the numbers of near, mid-near and far pairs per point, as pacmap rounds them."""
        n = self.n_neighbors
        return n, round(n * self.mn_ratio), round(n * self.fp_ratio)


class LocalmapOptions(PacmapOptions):
    """Options of ``localmap``."""

    low_dist_thres: Annotated[float, SearchRange(5.0, 20.0)] = Field(
        10.0, gt=0, le=1000, description="Distance in the map below which far pairs are redrawn."
    )
