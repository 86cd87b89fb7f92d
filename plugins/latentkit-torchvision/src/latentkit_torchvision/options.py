"""Options of the data set and of the model ``torchvision``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentkit.plugin import BackboneOptions, Options


class TorchvisionOptions(Options):
    """Options of the data set."""

    dataset: str = Field("", description="Name of the set as torchvision has it, such as CIFAR100.")
    root: str = Field(
        "",
        description="Folder that already has the set's files, laid out as torchvision does; by"
        " default a folder of the set's own in the folder of data sets.",
    )
    size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Height and width of the images in pixels; by default their own where all have"
        " one size, else 64.",
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="How an image gets this shape: crop the longer side, pad the shorter side with"
        " black, or stretch.",
    )
    channels: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="auto is one channel if all are equal, else three."
    )


class ClassifierOptions(BackboneOptions):
    """Options of the model."""

    backbone: str = Field(
        "resnet18", description="Name of the network as torchvision has it, such as resnet18."
    )
