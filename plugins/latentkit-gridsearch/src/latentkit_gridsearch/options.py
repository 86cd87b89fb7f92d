"""Options of ``grid`` and ``random``; neither prunes, so there is nothing to say of that."""

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
        4, ge=2, le=1000, description="Values that a range is cut into, both ends among them."
    )
    shuffle: bool = Field(
        False, description="Take the grid in an order drawn from the seed, not row by row."
    )
