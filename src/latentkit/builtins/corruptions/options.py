"""Options of the built-in corruptions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from latentkit.plugin import Options, SearchRange, strength


class GaussianNoiseOptions(Options):
    """Options of ``gaussian-noise``."""

    std: Annotated[float, SearchRange(0.05, 0.5), strength] = Field(
        0.3, ge=0, le=10, description="Standard deviation of the noise; images range from 0 to 1."
    )
    clip: bool = Field(
        True,
        description="Clip to [0, 1], which weakens the noise on black and white pixels; otherwise"
        " reflect at 0 and 1.",
    )


class SaltAndPepperOptions(Options):
    """Options of ``salt-and-pepper``."""

    amount: Annotated[float, SearchRange(0.05, 0.5), strength] = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the pixels that change, on average: half become white, half black.",
    )


class MaskingOptions(Options):
    """Options of ``masking``."""

    share: Annotated[float, SearchRange(0.1, 0.7), strength] = Field(
        0.3, ge=0, le=1, description="Share of the squares that become black, on average."
    )
    block: int = Field(1, ge=1, le=256, description="Side of a square in pixels.")


class BlurOptions(Options):
    """Options of ``blur``."""

    sigma: Annotated[float, SearchRange(0.5, 3.0), strength] = Field(
        1.0, ge=0, le=50, description="Standard deviation of the Gaussian in pixels."
    )
