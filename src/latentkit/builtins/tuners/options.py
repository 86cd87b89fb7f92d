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
        8, ge=1, description="Trials that are drawn at random before the sampler learns from them."
    )
    pruner: PrunerName = Field(
        "asha",
        description="When a trial is given up: asha and hyperband let the best 1 in "
        "reduction_factor go on, median what is better than half of those before.",
    )
    min_epochs: int = Field(1, ge=1, description="Epochs that every trial is given.")
    reduction_factor: int = Field(
        3, ge=2, description="asha and hyperband judge after min_epochs times its powers."
    )
    heartbeat: float = Field(
        15.0,
        gt=0,
        description="Seconds between signs of life of a worker; after four without one, its "
        "trial is given to another.",
    )
    patience: float = Field(
        600.0, ge=0, description="Seconds for which a worker waits for a lost storage."
    )
