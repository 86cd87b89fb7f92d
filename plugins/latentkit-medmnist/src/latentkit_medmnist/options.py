"""Options of the data sets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentkit.plugin import Options


class MedmnistOptions(Options):
    """Options of every set."""

    size: Literal[28, 64, 128, 224] = Field(28, description="Side of the images in pixels.")
    validation: Literal["leave-out", "join"] = Field(
        "leave-out",
        description="Published validation images: leave out, or join to the training images.",
    )
    mirror: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="URL of a folder to download from; empty for the published address.",
    )


class ChestmnistOptions(MedmnistOptions):
    """Options of ``chestmnist``, whose images have any number of 14 findings."""

    labels: Literal["single", "any"] = Field(
        "single",
        description="single: no finding, each of the 14 alone, several; any: no finding, any.",
    )
