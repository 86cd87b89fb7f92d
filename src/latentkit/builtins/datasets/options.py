"""Options of the built-in data sets, and where the paths in them lead."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from latentkit.plugin import Options

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Names of the files of a data set of the family of MNIST, without ``.gz``."""


class DownloadOptions(Options):
    """Options of a data set whose files are downloaded on first use."""

    mirror: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="URL of the folder to download from; empty for the data set's own.",
    )
    n_train: int | None = Field(
        None,
        ge=2,
        lt=2**31,
        description="Number of training images to use, from the first on; all if not given.",
    )
    n_test: int | None = Field(
        None,
        ge=2,
        lt=2**31,
        description="Number of test images to use, from the first on; all if not given.",
    )


class EmnistOptions(DownloadOptions):
    """Options of ``emnist``."""

    partition: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = Field(
        "balanced", description="Which of the six partitions of EMNIST to use."
    )


def _numbers_of(value: Any) -> Any:
    """Return ``"48,64"`` as a list of whole numbers, and other values as they are."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", value):
        found = [int(one) for one in value.split(",")]
        return found if "," in value else found[0]
    return value


_Side = Annotated[int, Field(ge=8, le=4096)]
_Size = Annotated[_Side | tuple[_Side, _Side], BeforeValidator(_numbers_of)]
_Channel = Annotated[int, Field(ge=0, lt=4096)]
_Numbers = Annotated[tuple[_Channel, ...], Field(min_length=1, max_length=64)]


def _channels_of(value: Any) -> Any:
    value = _numbers_of(value)
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


_Shown = Annotated[tuple[_Channel, ...], Field(max_length=3), BeforeValidator(_channels_of)]
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_RANGE = rf"^(type|data|{_NUMBER}\.\.{_NUMBER})$"


class ValueOptions(Options):
    """How numbers become images, for data sets of the user's own."""

    path: str = Field("", description="Path of the images.")
    channels: Annotated[
        Literal["auto", "grey", "rgb", "all"] | _Numbers, BeforeValidator(_channels_of)
    ] = Field(
        "auto",
        description="Which channels images have. auto is one if all channels are equal, else those"
        " of the file; grey; rgb; all keeps transparency as a channel; or numbers of channels, from"
        " 0, such as 0,3,5.",
    )
    depth: Literal["auto", 8, 16] = Field(
        "auto",
        description="Bits of each value. auto is 8, and 16 if 8 would lose something.",
    )
    range: str = Field(
        "type",
        pattern=_RANGE,
        description="Numbers that become black and white. type is the full range of integers of 8"
        " and 16 bits, and 0..1 of floats; data is the range found in all images; or LOW..HIGH,"
        " such as 0..4095.",
    )
    display_channels: _Shown = Field(
        (),
        description="The channels that pictures show, one or three, such as 3,2,1; the first three"
        " if not given.",
    )

    @property
    def limits(self) -> Literal["type", "data"] | tuple[float, float]:
        """The range: ``type``, ``data``, or the numbers of black and white."""
        if self.range in ("type", "data"):
            return cast("Literal['type', 'data']", self.range)
        found = re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", self.range)
        assert found  # noqa: S101  # by the pattern
        return float(found[1]), float(found[4])

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        limits = self.limits
        if not isinstance(limits, str) and not limits[0] < limits[1]:
            raise ValueError(f"range {self.range} is empty: the first number must be smaller")
        return self


class NpzOptions(ValueOptions):
    """Options of ``npz``."""

    path: str = Field("", description="Path of the file (.npz, .npy, .h5) or Zarr folder.")


class ImageFolderOptions(ValueOptions):
    """Options of ``image-folder``."""

    path: str = Field("", description="Path of the folder.")
    size: _Size = Field(
        64,
        description="Height and width of the images in pixels: one number for both, or two, such as"
        " 48,64.",
    )
    fit: Literal["crop", "pad", "stretch", "none"] = Field(
        "crop",
        description="How an image gets this shape: crop the longer side, pad the shorter side with"
        " black, or stretch; none keeps the size of images that are all of one size.",
    )
    page: Literal["first", "all"] = Field(
        "first",
        description="Whether a file of several pictures (TIFF, animation) gives the first or all.",
    )
    classes: Literal["auto", "top", "none"] = Field(
        "auto",
        description="What is a class: auto, every folder that holds images, as a/b; top, only the"
        " first of nested folders; none.",
    )
    labels: str = Field(
        "",
        description="Path of a CSV or Parquet file of paths and labels, which is used instead of"
        " folders; relative to the folder.",
    )
    label_column: str = Field(
        "",
        description="Its column of labels; if several, such as kind,colour, each combination is a"
        " class. May be omitted if there is only one.",
    )
    unreadable: Literal["refuse", "skip"] = Field(
        "refuse", description="Whether files that cannot be read are an error or are skipped."
    )
    max_pixels: int = Field(
        178_956_970,
        ge=1,
        le=2**34,
        description="Width times height above which a file is refused, because it would need much"
        " memory.",
    )


class SpritesOptions(Options):
    """Options of ``sprites``."""

    size: Literal[28, 64] = Field(28, description="Width and height of the images in pixels.")
    n_train: int = Field(10_000, ge=10, le=1_000_000, description="Number of training images.")
    n_test: int = Field(2_000, ge=10, le=1_000_000, description="Number of test images.")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of the factors; independent of the run's seed."
    )


def located(path: str, cache: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Return where the images of an option ``path`` are, and a note if that is elsewhere.

    If the path does not exist, images of the same name in ``cache``, the folder of data sets, are
    used: with ``--data-dir``, a run finds images that have moved.
    """
    stated = Path(path).expanduser().absolute()
    with suppress(OSError):  # reading the path says what is wrong with it
        if cache is not None and not stated.exists() and (cache / stated.name).exists():
            found = cache / stated.name
            return found, (f"there is no {stated}: the images of {found} are used",)
    return stated, ()
