"""Options of the data set ``huggingface``."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from latentkit.plugin import ImageReading, Options

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


class HuggingfaceOptions(Options):
    """Options of ``huggingface``: either ``path`` or ``hub`` says which images."""

    path: str = Field(
        "",
        description="Path of a Parquet or Arrow file, of a folder of them or of images by class, or"
        " of a folder that save_to_disk has written.",
    )
    hub: str = Field(
        "",
        pattern=r"^(\w[\w.-]*(/\w[\w.-]*)?)?$",
        description="Name of a data set on the hub, such as uoft-cs/cifar100.",
    )
    config: str = Field("", description="Which configuration of it; may be omitted if it has one.")
    revision: str = Field(
        "main",
        pattern=r"^[\w./-]+$",
        description="Which version on the hub: a commit, tag or branch. The commit that was used is"
        " said; give it, to have the same images on another machine.",
    )
    streaming: bool = Field(
        False,
        description="Whether images from the hub are decoded while they arrive, without keeping"
        " their files. Later commands need the network, too.",
    )
    image_column: str = Field("", description="Column of the images; found if there is one.")
    label_column: str = Field(
        "", description="Column of the labels; found by its type or name; none leaves labels out."
    )
    train_split: str = Field("", description="Name of the training images, if not train.")
    validation_split: str = Field("", description="Name of the validation images, if not usual.")
    test_split: str = Field("", description="Name of the test images, if not test.")
    size: int = Field(64, ge=8, le=4096, description="Height and width of the images in pixels.")
    fit: Literal["crop", "pad", "stretch", "none"] = Field(
        "crop",
        description="How an image gets this shape: crop the longer side, pad the shorter side with"
        " black, or stretch; none keeps the size of images that are all of one size.",
    )
    channels: Literal["auto", "grey", "rgb", "all"] = Field(
        "auto", description="auto is one channel if all are equal, else those of the file."
    )
    depth: Literal["auto", 8, 16] = Field(
        "auto", description="Bits of each value; auto is 8, and 16 if 8 would lose something."
    )

    range: str = Field(
        "type",
        pattern=rf"^(type|{_NUMBER}\.\.{_NUMBER})$",
        description="Numbers that become black and white: type, the full range of integers of 8 and"
        " 16 bits, and 0..1 of floats; or LOW..HIGH, such as 0..4095.",
    )

    @property
    def limits(self) -> Literal["type"] | tuple[float, float]:
        """The range: ``type``, or the numbers of black and white."""
        found = re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", self.range)
        return (float(found[1]), float(found[2])) if found else "type"

    @property
    def reading(self) -> ImageReading:
        """The rules by which pictures become images."""
        return ImageReading(
            size=(self.size, self.size),
            fit=self.fit,
            channels=self.channels,
            depth=self.depth,
            value_range=self.limits,
        )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        limits = self.limits
        if limits != "type" and not limits[0] < limits[1]:
            raise ValueError(f"range {self.range} is empty: the first number must be smaller")
        return self

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        if self.path and self.hub:
            raise ValueError("give either path, for local files, or hub, for a data set there")
        return self
