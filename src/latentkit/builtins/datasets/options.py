"""Options of the built-in data sets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentkit.plugin import Options


class DownloadOptions(Options):
    """A data set whose files are downloaded on first use."""

    mirror: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Folder URL to download from; empty for the data set's own.",
    )
    n_train: int | None = Field(
        None, ge=2, description="Only the first so many training images; all unless given."
    )
    n_test: int | None = Field(
        None, ge=2, description="Only the first so many test images; all unless given."
    )


class EmnistOptions(DownloadOptions):
    """Options of ``emnist``."""

    partition: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = Field(
        "balanced", description="Which of its six partitions."
    )


class NpzOptions(Options):
    """Options of ``npz``."""

    path: str = Field("", description="The .npz or .npy file.")


class ImageFolderOptions(Options):
    """Options of ``image-folder``."""

    path: str = Field("", description="The folder.")
    size: int = Field(64, ge=8, le=1024, description="Side of the images in pixels.")
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop", description="How an image is made square: cut, filled with black, or stretched."
    )
    channels: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="Grey or colour; auto is grey where every image is."
    )
    unreadable: Literal["refuse", "skip"] = Field(
        "refuse", description="What to do about files that cannot be read."
    )


class SpritesOptions(Options):
    """Options of ``sprites``."""

    size: Literal[28, 64] = Field(28, description="Side of the images in pixels.")
    n_train: int = Field(10_000, ge=10, le=1_000_000, description="Training images.")
    n_test: int = Field(2_000, ge=10, le=1_000_000, description="Test images.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of the factors; not the run's seed.")
