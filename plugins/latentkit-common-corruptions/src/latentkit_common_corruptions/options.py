"""Options of the corruptions; the strengths of the published benchmarks are in `severities`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from latentkit.plugin import Options, SearchRange, strength


def _zero_or_enough(value: float) -> float:
    """Refuse a strength above 0 whose square is so small that computing with it fails."""
    if 0 < value < 1e-4:
        raise ValueError("should be 0, or 0.0001 or more")
    return value


class ShotNoiseOptions(Options):
    """Options of ``shot-noise``."""

    std: Annotated[float, SearchRange(0.05, 0.6), strength] = Field(
        0.3,
        ge=0,
        le=10,
        description="Standard deviation for a white pixel: 1/sqrt(its number of photons); 0, or "
        "0.0001 or more.",
    )

    _std = field_validator("std")(_zero_or_enough)


class SpeckleNoiseOptions(Options):
    """Options of ``speckle-noise``."""

    std: Annotated[float, SearchRange(0.05, 0.6), strength] = Field(
        0.35, ge=0, le=10, description="Standard deviation for a white pixel."
    )


class DefocusBlurOptions(Options):
    """Options of ``defocus-blur``."""

    radius: Annotated[float, SearchRange(0.5, 4.0), strength] = Field(
        1.5, ge=0, le=20, description="Radius of the disk in pixels."
    )


class MotionBlurOptions(Options):
    """Options of ``motion-blur``."""

    sigma: Annotated[float, SearchRange(0.5, 5.0), strength] = Field(
        2.0,
        ge=0,
        le=50,
        description="Standard deviation of the trail in pixels; 0, or 0.0001 or more.",
    )
    _sigma = field_validator("sigma")(_zero_or_enough)
    radius: int = Field(
        10, ge=1, le=50, description="The trail is cut off after twice this number of pixels."
    )
    max_angle: float = Field(
        45.0, ge=0, le=180, description="Largest angle between trail and horizontal, in degrees."
    )


class FogOptions(Options):
    """Options of ``fog``."""

    amount: Annotated[float, SearchRange(0.2, 3.0), strength] = Field(
        1.0, ge=0, le=20, description="Weight of the fog; the weight of the image is 1."
    )
    decay: float = Field(
        2.0,
        ge=1,
        le=10,
        description="Smoothness of the fog: each halving of the scale divides the height of its"
        " random structure by the square of this number.",
    )


class BrightnessOptions(Options):
    """Options of ``brightness``."""

    amount: Annotated[float, SearchRange(0.05, 0.5), strength] = Field(
        0.3, ge=0, le=1, description="Added to the value V in the colour space HSV."
    )


class ContrastOptions(Options):
    """Options of ``contrast``."""

    amount: Annotated[float, SearchRange(0.2, 0.95), strength] = Field(
        0.6, ge=0, le=1, description="Share of the contrast that is lost."
    )


class PixelateOptions(Options):
    """Options of ``pixelate``."""

    amount: Annotated[float, SearchRange(0.1, 0.8), strength] = Field(
        0.5, ge=0, le=1, description="Share of rows and columns that the image loses."
    )


class JpegCompressionOptions(Options):
    """Options of ``jpeg-compression``."""

    amount: Annotated[float, SearchRange(0.2, 0.95), strength] = Field(
        0.85, ge=0, le=1, description="1 - quality/100; at 0 the image is not compressed at all."
    )


class LinesOptions(Options):
    """Options of ``lines``."""

    width: Annotated[float, SearchRange(0.5, 5.0), strength] = Field(
        1.5, ge=0, le=50, description="Width of a line in pixels; below 1 it is translucent."
    )
    count: int = Field(3, ge=1, le=50, description="Number of lines across each image.")
    shade: float = Field(
        1.0, ge=0, le=1, description="Grey level of the lines: 0 is black, 1 is white."
    )
