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
        description="The set's own validation images: not used, or joined to the training images.",
    )
    mirror: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Folder URL to download from; empty for the data set's own.",
    )


class ChestmnistOptions(MedmnistOptions):
    """Options of ``chestmnist``, whose images have any number of 14 findings."""

    labels: Literal["single", "any"] = Field(
        "single",
        description="Its classes: no finding, each of the 14 alone, several; or no finding, any.",
    )
