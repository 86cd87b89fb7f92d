"""Arrays of any numbers as images: which axis has the channels, and which numbers are shades.

The channels of (N, A, B, C) are A if it is 1 or 3, else C if that is 1 or 3, else the smaller of
the two, up to 64; if both are equal, the array is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import ValueOptions
from latentkit.plugin import MOST_CHANNELS, Pixels, check_float_images, plain_array

_AT_ONCE = 1024  # images that are converted together
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_DARK = 8


@dataclass(frozen=True)
class ArrayRule:
    """How numbers become shades: ``black`` is 0 and ``white`` the largest number of ``kind``."""

    black: float
    white: float
    kind: type[np.uint8 | np.uint16]
    notes: tuple[str, ...] = ()


def with_channels_first(values: Any) -> NDArray[Any]:
    """Return images (N, H, W), (N, C, H, W) or (N, H, W, C) as (N, C, H, W).

    Raises:
        ValueError: the values have another shape, or it can be understood in two ways.
    """
    images = plain_array(values)
    shape = images.shape
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or not images.size:
        raise ValueError(
            f"images have shape {shape}, expected (N, H, W) or (N, C, H, W); rows of pixels must "
            f"be reshaped first"
        )
    first, last = images.shape[1], images.shape[3]
    if first in (1, 3):
        return images
    if last in (1, 3) or last < first:
        images = images.transpose(0, 3, 1, 2)
    elif first == last:
        raise ValueError(
            f"images have shape {shape}, whose channels may come first or last: save them so that "
            f"there are fewer channels than pixels in a row, or as (N, 1, H, W)"
        )
    if images.shape[1] > MOST_CHANNELS:
        raise ValueError(
            f"images have shape {shape} and {images.shape[1]} channels: {MOST_CHANNELS} is most"
        )
    return images


def rule_of(arrays: Iterable[NDArray[Any]], options: ValueOptions) -> ArrayRule:
    """Return the rule that all splits share.

    Args:
        arrays: numbers (N, C, H, W) of each split. After the first, they are only read if the rule
            depends on them.
        options: ``range`` and ``depth``.

    Raises:
        ValueError: the numbers do not say which are black and white, or are not finite.
    """
    waiting = iter(arrays)
    first = next(waiting)
    limits, notes = options.limits, list[str]()
    if limits == "data":
        found = [_limits(each) for each in (first, *waiting)]
        black, white = min(low for low, _ in found), max(high for _, high in found)
        if black == white:
            raise ValueError(f"every number is {black:g}, so range=data has no range")
        deep = first.dtype.itemsize > 1
    elif isinstance(limits, tuple):
        (black, white), deep = limits, first.dtype.itemsize > 1
    else:
        black, white = _range_of_type(first)
        deep = first.dtype == np.uint16 or (
            first.dtype.kind == "f" and not all(map(_fits_8_bits, (first, *waiting)))
        )
        if first.dtype == np.uint16:
            notes = _notes_of_16_bits(first)
    if options.depth != "auto":
        if deep and options.depth == 8:
            notes.append("values were reduced to 8 bits (depth=8)")
        deep = options.depth == 16
    if limits != "type":
        notes.append(f"values: {black:,g} is black and {white:,g} is white (range={options.range})")
    return ArrayRule(black, white, np.uint16 if deep else np.uint8, tuple(notes))


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        row = int(np.argmin(np.isfinite(values.reshape(len(values), -1)).all(1)))
        raise ValueError(f"image {row} holds NaN or infinity: repair it or leave it out")
    return low, high


def _range_of_type(values: NDArray[Any]) -> tuple[float, float]:
    kind = values.dtype
    if kind.kind == "b":
        return 0, 1
    if kind.kind in "iu" and kind.itemsize <= (2 if kind.kind == "u" else 1):
        return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    try:
        check_float_images(values)
    except ValueError as error:
        if "NaN" in str(error):
            raise
        raise ValueError(
            f"{error}; or say which numbers are black and white with  -o npz.range=LOW..HIGH"
        ) from error
    return 0, 1


def _notes_of_16_bits(values: NDArray[Any]) -> list[str]:
    notes = ["values (uint16): black and white are the full range of the type"]
    if (most := int(values.max())) < 65_535 // _DARK:
        notes.append(f"they reach to {most:,} of 65,535 only: range=data makes images brighter")
    return notes


def _fits_8_bits(values: NDArray[Any]) -> bool:
    """Return whether floats in [0, 1] are bytes divided by 255."""
    for start in range(0, len(values), _AT_ONCE):
        levels = values[start : start + _AT_ONCE].astype(np.float32) * 255
        if (abs(levels - np.rint(levels)) > (0.1 if values.dtype == np.float16 else 1e-3)).any():
            return False
    return True


def as_images(
    values: NDArray[Any], rule: ArrayRule, options: ValueOptions
) -> tuple[Pixels, list[str]]:
    """Return numbers (N, C, H, W) as images with the channels that are asked for, and notes.

    What has the right form already is not copied, so a memory-mapped array stays one.

    Raises:
        ValueError: a channel does not exist, or numbers are not finite.
    """
    n = values.shape[1]
    choice = options.channels
    if isinstance(choice, tuple):
        if max(choice) >= n:
            raise ValueError(f"images have {n} channels, without channel {max(choice)}")
        values = values[:, list(choice)]
    elif choice in ("grey", "rgb") and n not in (1, 3):
        raise ValueError(f"images have {n} channels, which are no {choice} pictures")
    elif choice == "rgb" and n == 1:
        values = np.repeat(values, 3, 1)
    as_grey = choice == "grey" and n == 3
    own = (rule.black, rule.white) == (0, np.iinfo(rule.kind).max) and values.dtype == rule.kind
    if own and not as_grey:
        return values, []
    low, high = (0.0, 1.0) if values.dtype.kind == "b" else _limits(values)
    pixels = np.empty(
        (len(values), 1 if as_grey else values.shape[1], *values.shape[2:]), rule.kind
    )
    clipped = 0
    for start in range(0, len(values), _AT_ONCE):
        chunk = values[start : start + _AT_ONCE].astype(np.float64)
        shades = (chunk - rule.black) / (rule.white - rule.black)
        if low < rule.black or high > rule.white:
            clipped += int(((shades < 0) | (shades > 1)).any((1, 2, 3)).sum())
        if as_grey:
            shades = np.tensordot(shades, _LUMA, (1, 0))[:, None]
        levels = np.rint(np.clip(shades, 0, 1) * np.iinfo(rule.kind).max)
        pixels[start : start + _AT_ONCE] = levels
    notes = [
        f"{clipped:,} of {len(values):,} images have values out of this range, which were clipped"
    ]
    return pixels, notes if clipped else []
