"""Options of the data set ``medical``."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from latentkit.plugin import ImageReading, Options

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


class MedicalOptions(Options):
    """Options of ``medical``."""

    path: str = Field("", description="Path of the folder of .dcm, .nii or .nii.gz files.")
    axis: Literal["acquired", "axial", "coronal", "sagittal"] = Field(
        "acquired",
        description="Plane of the slices of NIfTI volumes; acquired is axial. DICOM slices are used"
        " as they were acquired.",
    )
    slices: str = Field(
        "all",
        pattern=r"^(all|middle|every \d+)$",
        description="Which slices of a volume: all, middle, or every N, such as every 5.",
    )
    window: str = Field(
        "",
        pattern=rf"^(|file|{_NUMBER},{_NUMBER})$",
        description="Centre and width of the numbers that are shown, such as 40,400; file uses the"
        " window that each DICOM file states.",
    )
    range: str = Field(
        "data",
        pattern=rf"^(data|{_NUMBER}\.\.{_NUMBER})$",
        description="Numbers that become black and white, after the file's rescaling: LOW..HIGH, or"
        " data, those found in all slices. Not used with a window.",
    )
    classes: Literal["none", "folder"] = Field(
        "none", description="folder makes the first folder, below train and test, the class."
    )
    size: int = Field(64, ge=8, le=4096, description="Height and width of the images in pixels.")
    fit: Literal["crop", "pad", "stretch", "none"] = Field(
        "pad",
        description="How a slice gets this shape: crop the longer side, pad the shorter side with"
        " black, or stretch; none keeps the size of slices that are all of one size.",
    )
    depth: Literal[8, 16] = Field(16, description="Bits of each value.")

    @property
    def limits(self) -> tuple[float, float] | None:
        """The numbers of black and white; None if the files decide."""
        if self.window == "file":
            return None
        if self.window:
            centre, width = map(float, self.window.split(","))
            return centre - width / 2, centre + width / 2
        if self.range == "data":
            return None
        found = re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", self.range)
        assert found  # noqa: S101  # by the pattern
        return float(found[1]), float(found[2])

    @property
    def reading(self) -> ImageReading:
        """The rules by which slices become images."""
        by_file = "type" if self.window == "file" else "data"
        return ImageReading(
            size=(self.size, self.size),
            fit=self.fit,
            depth=self.depth,
            value_range=self.limits or by_file,  # type: ignore[arg-type]
        )

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        limits = self.limits
        if limits and not limits[0] < limits[1]:
            raise ValueError(f"black, {limits[0]:g}, must be below white, {limits[1]:g}")
        if self.slices == "every 0":
            raise ValueError("slices=every 0 chooses none: every 1 is all")
        return self
