"""Options of the encoders: their network, the views that they compare, and their losses."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field

from latentkit.plugin import Options, SearchRange

ImageShape = tuple[int, int, int]
Latents = Annotated[int, Field(ge=1, le=4096)]
Maps = Annotated[
    tuple[Annotated[int, Field(ge=1, le=2048)], ...], Field(min_length=1, max_length=8)
]

LEAST_SIDE = 7
"""Pixels that a view shows at least along each side of an image."""
_SMALL = 32  # pixels a side up to which images are called small
_CROP, _CROP_OF_LARGE = 0.4, 0.3
_LATENTS = 128
_WIDTHS = (32, 64, 128, 256)
_COARSEST = 4  # pixels a side of the last feature maps


def least_crop(image_shape: ImageShape) -> float:
    """Return the smallest share of an image's area whose views are not too small."""
    return min(1.0, (LEAST_SIDE / min(image_shape[1:])) ** 2)


class ViewOptions(Options):
    """Options of the encoders that compare two views of each image."""

    latent_dim: Annotated[Latents | Literal["auto"], SearchRange(16, 256, log=True)] = Field(
        "auto", description="Number of latent dimensions; auto takes 128."
    )
    patch: Literal[1, 2, 4, 8, "auto"] = Field(
        "auto",
        description="Side in pixels of the squares that are folded into channels before the first"
        " convolution; auto takes 2, and more for images above 64 pixels a side.",
    )
    channels: Maps | Literal["auto"] = Field(
        "auto",
        description="Feature maps of each stage. The first stage keeps the size, and each other"
        " halves it. auto takes as many stages as lead to about 4x4 pixels.",
    )
    blocks: int = Field(1, ge=0, le=16, description="Residual blocks after each halving.")
    projector: Annotated[int, SearchRange(128, 2048, log=True)] = Field(
        512, ge=1, le=65536, description="Width of the layers between latents and loss."
    )
    crop: Annotated[
        Annotated[float, Field(gt=0, le=1)] | Literal["auto"], SearchRange(0.1, 0.9)
    ] = Field(
        "auto",
        description="Smallest share of the image's area that a view shows; auto takes 0.4 up to 32"
        " pixels a side, 0.3 for larger images, and more where a view would show less than 7"
        " pixels along a side.",
    )
    flip: bool = Field(
        True, description="Mirror half of the views; switch it off for letters and digits."
    )
    brightness: Annotated[float, SearchRange(0.0, 0.8)] = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest change of brightness and of gamma, for images with any number of"
        " channels. Without it, encoders tell images apart by their brightness alone.",
    )
    saturation: float = Field(
        0.4, ge=0, le=1, description="Largest change of saturation, for images with 3 channels."
    )
    grey: float = Field(
        0.2, ge=0, le=1, description="Share of the views of images with 3 channels made grey."
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with every ``auto`` replaced."""
        side = max(image_shape[1:])
        patch = self.patch
        if patch == "auto":
            patch = 2 if side <= 64 else 4 if side <= 256 or image_shape[0] > 16 else 8
        halvings = max(1, round(math.log2(max(2.0, side / patch / _COARSEST))))
        widths = (_WIDTHS + _WIDTHS[-1:] * halvings)[: halvings + 1]
        small = _CROP if side <= _SMALL else _CROP_OF_LARGE
        chosen = {
            "latent_dim": _LATENTS,
            "patch": patch,
            "channels": widths,
            "crop": max(small, math.ceil(100 * least_crop(image_shape)) / 100),
        }
        return self.model_copy(
            update={name: value for name, value in chosen.items() if getattr(self, name) == "auto"}
        )


class SimclrOptions(ViewOptions):
    """Options of ``simclr``."""

    temperature: Annotated[float, SearchRange(0.1, 1.0, log=True)] = Field(
        0.5, ge=0.01, le=100, description="Scale of the similarities in the loss."
    )


class VicregOptions(ViewOptions):
    """Options of ``vicreg``."""

    invariance: float = Field(
        25.0, ge=0, le=1e4, description="Weight of the distance between views."
    )
    variance: float = Field(
        25.0,
        ge=0,
        le=1e4,
        description="Weight of the variance of each dimension; with 0 the encoder may collapse.",
    )
    covariance: Annotated[float, SearchRange(0.1, 10.0, log=True)] = Field(
        1.0, ge=0, le=1e4, description="Weight of the covariance between dimensions."
    )


class BarlowTwinsOptions(ViewOptions):
    """Options of ``barlow-twins``."""

    redundancy: Annotated[float, SearchRange(1e-3, 0.1, log=True)] = Field(
        5e-3, ge=0, le=1e4, description="Weight of the correlation between dimensions."
    )


class TeacherOptions(ViewOptions):
    """Options of the encoders that learn from a slower copy of themselves."""

    momentum: Annotated[float, SearchRange(0.9, 0.999)] = Field(
        0.99,
        ge=0,
        le=1,
        description="Share of the teacher that stays at the first step; it grows to 1 by the last.",
    )


class ByolOptions(TeacherOptions):
    """Options of ``byol``."""


class DinoOptions(TeacherOptions):
    """Options of ``dino``."""

    prototypes: int = Field(1024, ge=2, le=2**20, description="Number of prototypes.")
    teacher_temperature: Annotated[float, SearchRange(0.02, 0.1, log=True)] = Field(
        0.04, ge=0.001, le=10, description="Temperature of the teacher, below the student's."
    )
    student_temperature: float = Field(
        0.1, ge=0.001, le=10, description="Temperature of the student."
    )


class MaeOptions(Options):
    """Options of ``mae``."""

    latent_dim: Annotated[
        Annotated[int, Field(ge=4, le=4096, multiple_of=4)] | Literal["auto"],
        SearchRange(32, 256, step=32),
    ] = Field(
        "auto",
        description="Number of latent dimensions, a multiple of 4, which is the width of the"
        " transformer; auto takes 128.",
    )
    patch: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        "auto",
        description="Side in pixels of the squares; auto takes a power of two, from 2 up, that"
        " divides the longer side into 7 to 14 squares if it can.",
    )
    depth: Annotated[int, SearchRange(2, 8)] = Field(
        4, ge=1, le=48, description="Transformer blocks of the encoder."
    )
    decoder_depth: int = Field(1, ge=1, le=48, description="Transformer blocks of the decoder.")
    decoder_width: int = Field(
        64, ge=4, le=4096, multiple_of=4, description="Width of the decoder, a multiple of 4."
    )
    hidden: Annotated[float, SearchRange(0.4, 0.8)] = Field(
        0.6, ge=0.1, le=0.95, description="Share of the squares that the encoder does not see."
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with every ``auto`` replaced."""
        side = max(image_shape[1:])
        power = max(1, int(math.log2(max(1.0, side / 7))))
        chosen = {"latent_dim": _LATENTS, "patch": min(64, 2**power)}
        return self.model_copy(
            update={name: value for name, value in chosen.items() if getattr(self, name) == "auto"}
        )
