"""Options of the built-in tuners."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentkit.plugin import Options


class OptunaOptions(Options):
    """Options of ``optuna``."""

    sampler: Literal["tpe", "random"] = Field("tpe", description="How parameters are proposed.")
    pruner: Literal["median", "none"] = Field(
        "median",
        description="When a trial is given up: below the median of those before, or never.",
    )
    startup_trials: int = Field(
        5, ge=1, description="Trials that are drawn at random and never given up."
    )
