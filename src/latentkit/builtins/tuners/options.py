"""Options of the built-in tuners."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentkit.plugin import Options

SamplerName = Literal["tpe", "random", "gp", "cma-es"]
PrunerName = Literal["asha", "hyperband", "median", "none"]


class OptunaOptions(Options):
    """Options of ``optuna``."""

    sampler: SamplerName = Field("tpe", description="How parameters are proposed.")
    startup_trials: int = Field(
        8,
        ge=1,
        lt=2**31,
        description="Trials with random parameters before the sampler learns from them.",
    )
    pruner: PrunerName = Field(
        "asha",
        description="Which trials are stopped early: asha and hyperband continue the best 1 in "
        "reduction_factor, median continues those better than half of the earlier trials.",
    )
    min_epochs: int = Field(
        1, ge=1, lt=2**31, description="Every trial trains at least this many epochs."
    )
    reduction_factor: int = Field(
        3,
        ge=2,
        lt=2**31,
        description="asha and hyperband compare trials after min_epochs times 1, this factor, its "
        "square and so on.",
    )
    heartbeat: float = Field(
        15.0,
        gt=0,
        le=86_400,
        description="Seconds between a worker's signs of life; if four in a row are missing, its "
        "trial is given to another worker.",
    )
    patience: float = Field(
        600.0,
        ge=0,
        le=604_800,
        description="Seconds that a worker waits for a storage that does not answer.",
    )
