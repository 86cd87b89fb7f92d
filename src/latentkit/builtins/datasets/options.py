"""Options of the built-in data sets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentkit.plugin import Options


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
        description="Use only this many training images, the first; all if not given.",
    )
    n_test: int | None = Field(
        None,
        ge=2,
        lt=2**31,
        description="Use only this many test images, the first; all if not given.",
    )


class EmnistOptions(DownloadOptions):
    """Options of ``emnist``."""

    partition: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = Field(
        "balanced", description="Which of the six partitions of EMNIST to use."
    )


class NpzOptions(Options):
    """Options of ``npz``."""

    path: str = Field("", description="Path of the .npz or .npy file.")


class ImageFolderOptions(Options):
    """Options of ``image-folder``."""

    path: str = Field("", description="Path of the folder.")
    size: int = Field(64, ge=8, le=1024, description="Width and height of the images in pixels.")
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="How an image is made square: crop the longer side, pad the shorter side with"
        " black, or stretch.",
    )
    channels: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="Grey or colour; auto is grey if every image is grey."
    )
    unreadable: Literal["refuse", "skip"] = Field(
        "refuse", description="Whether files that cannot be read are an error or are skipped."
    )


class SpritesOptions(Options):
    """Options of ``sprites``."""

    size: Literal[28, 64] = Field(28, description="Width and height of the images in pixels.")
    n_train: int = Field(10_000, ge=10, le=1_000_000, description="Number of training images.")
    n_test: int = Field(2_000, ge=10, le=1_000_000, description="Number of test images.")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of the factors; independent of the run's seed."
    )
