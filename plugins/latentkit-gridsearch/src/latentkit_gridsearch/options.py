"""Options of ``grid`` and ``random``; neither tuner prunes, so neither has options for it."""

from __future__ import annotations

from pydantic import Field

from latentkit.plugin import Options


class RandomOptions(Options):
    """Options of ``random``."""

    grace: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="Seconds of silence after which a worker on another machine counts as dead.",
    )


class GridOptions(RandomOptions):
    """Options of ``grid``."""

    points: int = Field(
        4, ge=2, le=1000, description="Number of values taken from a range, including both ends."
    )
    shuffle: bool = Field(
        False, description="Take grid points in an order drawn from the seed, not row by row."
    )
