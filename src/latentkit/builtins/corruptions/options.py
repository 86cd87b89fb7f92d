"""Options of the built-in corruptions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from latentkit.plugin import Options, SearchRange


class GaussianNoiseOptions(Options):
    """The noise of `latentkit.builtins.corruptions.gaussian_noise`."""

    std: Annotated[float, SearchRange(0.05, 0.5)] = Field(
        0.3,
        ge=0,
        le=10,
        description="Standard deviation before clipping; images reach from 0 to 1.",
    )
