"""Arrays of any numbers as images: which axis has the channels, and which numbers are shades.

The channels of (N, A, B, C) are A if it is 1 or 3, else C if that is 1 or 3, else the smaller of
the two, up to 64; if both are equal, the array is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.array_sources import Rows
from latentkit.builtins.datasets.options import ValueOptions
from latentkit.plugin import MOST_CHANNELS, Pixels, check_float_images, plain_array

_AT_ONCE = 32 * 2**20  # bytes of numbers that are converted together
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_DARK = 8
Block = tuple[int, NDArray[Any]]


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
    if 0 in shape:
        raise ValueError(f"there are no images: the array has shape {shape}")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
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
            f"images have shape {shape} and {images.shape[1]} channels: keep "
            f"{MOST_CHANNELS} or fewer"
        )
    return images


class Numbers:
    """Numbers (N, C, H, W) of an array that may be larger than the memory.

    Args:
        array: numbers (N, H, W), (N, C, H, W) or (N, H, W, C).

    Raises:
        ValueError: as `with_channels_first`.
    """

    def __init__(self, array: Rows) -> None:
        self._array = array
        self.dtype = np.dtype(array.dtype)
        shaped = np.broadcast_to(np.zeros((), self.dtype), array.shape)  # takes no memory
        self.shape: tuple[int, ...] = with_channels_first(shaped).shape

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
        """Return some of the images, by ascending rows."""
        return with_channels_first(np.asarray(self._array[rows]))

    def blocks(self) -> Iterator[Block]:
        """Yield the first row and the images of each block."""
        size = max(1, _AT_ONCE // max(1, math.prod(self.shape[1:]) * self.dtype.itemsize))
        for start in range(0, len(self), size):
            yield start, self.rows(slice(start, start + size))


def rule_of(arrays: Iterable[Numbers], options: ValueOptions) -> ArrayRule:
    """Return the rule that all splits share.

    Args:
        arrays: numbers of each split. After the first, they are only read if the rule depends on
            them.
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
        if first.dtype.kind == "u":
            notes = _notes_of_unsigned(first)
    if options.depth != "auto":
        if deep and options.depth == 8:
            notes.append("values were reduced to 8 bits (depth=8)")
        deep = options.depth == 16
    if limits != "type":
        notes.append(f"values: {black:,g} is black and {white:,g} is white (range={options.range})")
    return ArrayRule(black, white, np.uint16 if deep else np.uint8, tuple(notes))


def _limits(numbers: Numbers) -> tuple[float, float]:
    lows, highs = list[float](), list[float]()
    for start, values in numbers.blocks():
        _check_finite(values, start + np.arange(len(values)))
        lows.append(float(values.min()))
        highs.append(float(values.max()))
    return min(lows), max(highs)


def _check_finite(values: NDArray[Any], rows: NDArray[np.int64]) -> None:
    if values.dtype.kind != "f" or (
        math.isfinite(float(values.min())) and math.isfinite(float(values.max()))
    ):
        return
    row = rows[int(np.argmin(np.isfinite(values.reshape(len(values), -1)).all(1)))]
    raise ValueError(f"image {row} holds NaN or infinity: repair it or leave it out")


def _range_of_type(numbers: Numbers) -> tuple[float, float]:
    kind = numbers.dtype
    if kind.kind == "b":
        return 0, 1
    if kind.kind in "iu" and kind.itemsize <= (2 if kind.kind == "u" else 1):
        return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    # The smallest and the largest number stand for all of them.
    extremes = np.array(_limits(numbers) if kind.kind in "iuf" else (0, 0)).astype(kind)
    try:
        check_float_images(extremes.reshape(2, 1, 1, 1))
    except ValueError as error:
        raise ValueError(
            f"{error}; or say which numbers are black and white with  -o npz.range=LOW..HIGH"
        ) from error
    return 0, 1


def _notes_of_unsigned(numbers: Numbers) -> list[str]:
    """Return notes on the range of unsigned integers, and on images that are nearly black."""
    kind = np.iinfo(numbers.dtype)
    notes = []
    if kind.bits > 8:
        notes.append(f"values ({kind.dtype}): black and white are the full range of the type")
    most = 0
    for _, values in numbers.blocks():
        most = max(most, int(values.max()))
        if most > kind.max // _DARK:
            return notes
    if not most:
        return [*notes, "every pixel is 0"]
    number = f"the brightest pixel is {most:,} of {kind.max:,}"
    return [*notes, f"{number}, so images are nearly black: range=data makes them brighter"]


def _fits_8_bits(numbers: Numbers) -> bool:
    """Return whether floats in [0, 1] are bytes divided by 255."""
    for _, values in numbers.blocks():
        levels = values.astype(np.float32) * 255
        if (abs(levels - np.rint(levels)) > (0.1 if values.dtype == np.float16 else 1e-3)).any():
            return False
    return True


def is_converted(numbers: Numbers, rule: ArrayRule, options: ValueOptions) -> bool:
    """Return whether the numbers of images have to be changed, not only chosen."""
    own = (rule.black, rule.white) == (0, np.iinfo(rule.kind).max) and numbers.dtype == rule.kind
    return not own or (options.channels == "grey" and numbers.shape[1] == 3)


def as_images(numbers: Numbers, rule: ArrayRule, options: ValueOptions) -> tuple[Pixels, list[str]]:
    """Return all numbers as images with the channels that are asked for, and notes.

    What has the right form already is not copied, so a memory-mapped array stays one.

    Raises:
        ValueError: a channel does not exist, or numbers are not finite.
    """
    if not is_converted(numbers, rule, options):
        return _with_channels(numbers.rows(slice(None)), options), []
    pixels: NDArray[Any] = np.empty(0, rule.kind)
    clipped = 0
    for start, values in numbers.blocks():
        block, lost = converted(values, rule, options, start + np.arange(len(values)))
        if not start:
            pixels = np.empty((len(numbers), *block.shape[1:]), rule.kind)
        pixels[start : start + len(block)] = block
        clipped += lost
    return pixels, clipped_notes(clipped, len(numbers))


def clipped_notes(clipped: int, n: int) -> list[str]:
    """Return a note on images with numbers beyond black or white, if there are any."""
    what = f"{clipped:,} of {n:,} images have values out of this range, which were clipped"
    return [what] if clipped else []


def _with_channels(values: NDArray[Any], options: ValueOptions) -> NDArray[Any]:
    """Return numbers (N, C, H, W) with the channels that are asked for; grey is left to do."""
    n, choice = values.shape[1], options.channels
    if isinstance(choice, tuple):
        if max(choice) >= n:
            raise ValueError(
                f"images have {n} channels, so choose from channels 0 to {n - 1}, not {max(choice)}"
            )
        return values[:, list(choice)]
    if choice in ("grey", "rgb") and n not in (1, 3):
        raise ValueError(
            f"images have {n} channels, so channels={choice} does not fit: keep them with "
            f"channels=all, or choose some, such as channels=0"
        )
    return np.repeat(values, 3, 1) if choice == "rgb" and n == 1 else values


def converted(
    values: NDArray[Any], rule: ArrayRule, options: ValueOptions, rows: NDArray[np.int64]
) -> tuple[Pixels, int]:
    """Return a block of numbers as images, and how many of them were clipped.

    Args:
        values: numbers (N, C, H, W).
        rule: black, white and depth.
        options: ``channels``.
        rows: the row of each image, for messages.

    Raises:
        ValueError: as `as_images`.
    """
    values = _with_channels(values, options)
    _check_finite(values, rows)
    shades = (values.astype(np.float64) - rule.black) / (rule.white - rule.black)
    clipped = int(((shades < 0) | (shades > 1)).any((1, 2, 3)).sum())
    if options.channels == "grey" and values.shape[1] == 3:
        shades = np.tensordot(shades, _LUMA, (1, 0))[:, None]
    levels = np.rint(np.clip(shades, 0, 1) * np.iinfo(rule.kind).max)
    pixels: Any = levels.astype(rule.kind)
    return pixels, clipped
