"""Many image files as one array: a common form, the range that they share, and what is said.

An image can be decoded without the others (`latentkit.plugin.image_files`). What needs all of them
is here: `in_range_of` the range that they share, `common_form` the channels and depth that hold
each of them, and `reading_notes` what the user should know. `read_images` does all of it in memory.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError
from latentkit.plugin.array_files import check_memory
from latentkit.plugin.image_files import SHALLOW, ImageFile, ImageReading
from latentkit.plugin.images import Pixels

_NAMED = 5  # most unreadable files that a message lists

Form = tuple[int, int, int, str]
"""Channels, height, width and type of an image: ``(3, 64, 64, "uint8")``."""


def in_range_of(reading: ImageReading, found: Sequence[tuple[float, float]]) -> ImageReading:
    """Return a reading whose range ``data`` is replaced by that of all files.

    Args:
        reading: the rules.
        found: `ImageReading.limits` of each file that can be read.

    Raises:
        ValueError: all numbers are equal, or there are none.
    """
    if not found:
        raise ValueError("no file can be read")
    low, high = min(one for one, _ in found), max(one for _, one in found)
    if low == high:
        raise ValueError(f"every number in every file is {low:g}, so range=data has no range")
    return replace(reading, value_range=(low, high))


def common_form(forms: Mapping[Form, int], reading: ImageReading) -> Form:
    """Return the form that all images of a set get.

    Args:
        forms: how many images have each form.
        reading: the rules by which they were read.

    Raises:
        ValueError: they have no common form, because they differ in size or in channels.
    """
    sizes, bands = Counter[tuple[int, int]](), Counter[int]()
    for (channels, height, width, _), count in forms.items():
        sizes[height, width] += count
        bands[channels] += count
    if len(sizes) > 1:
        some = ", ".join(f"{n:,} of {h}x{w}" for (h, w), n in sizes.most_common(3))
        raise ValueError(
            f"the images have {len(sizes)} sizes ({some}; height x width): fit=none needs equal "
            f"sizes, so choose fit=crop, pad or stretch"
        )
    if len(bands) > 1 and not (reading.channels == "auto" and set(bands) == {1, 3}):
        some = ", ".join(f"{n:,} with {c}" for c, n in bands.most_common(4))
        raise ValueError(
            f"the images have different numbers of channels ({some}): choose channels=grey, "
            f"channels=rgb, or the same ones of all, such as channels=0"
        )
    ((height, width),) = sizes
    deep = any(form[3] == "uint16" for form in forms)
    return max(bands), height, width, "uint16" if deep else "uint8"


def widened(pixels: Pixels, form: Form) -> Pixels:
    """Return images (..., C, H, W) in a form that holds them: grey as colours, 8 bits as 16."""
    channels, _, _, kind = form
    images: Pixels = np.repeat(pixels, channels // pixels.shape[-3], -3)  # type: ignore[assignment]
    return images.astype(np.uint16) * np.uint16(257) if kind != images.dtype.name else images


def reading_notes(facts: Mapping[str, int], n: int, reading: ImageReading) -> tuple[str, ...]:
    """Return a sentence for each thing that users should know about how images were read.

    Args:
        facts: how many images have each fact of `DecodedImage`.
        n: number of images.
        reading: the rules.
    """
    notes = []
    kinds = {key[5:]: count for key, count in facts.items() if key.startswith("kind ")}
    unusual = any(kind not in SHALLOW for kind in kinds)
    listed = ", ".join(f"{kind} in {count:,}" for kind, count in sorted(kinds.items()))
    if not isinstance(reading.value_range, str):
        black, white = (f"{one:,g}" for one in reading.value_range)
        notes.append(f"numbers in the files: {listed}; {black} is black and {white} is white")
    elif unusual:
        rules = [_RULES.get(kind, "full range") for kind in sorted(kinds)]
        rule = "; ".join(dict.fromkeys(rules))
        notes.append(f"numbers in the files: {listed}; black and white are the {rule}")
    sentences = {
        "reduced": "were reduced to 8 bits (depth=8)",
        "clipped": "have values out of this range, which were clipped",
        "transparent": "have transparent parts, which became white",
        "dark": "use less than an eighth of this range (range=data makes all images brighter)",
        "several": "are from files of several pictures, of which the first was used (page=first)",
        "cropped": "lost a part of their longer side (fit=crop; fit=pad keeps all)",
        "constant": "are constant: every pixel is the same",
    }
    for key, sentence in sentences.items():
        if count := facts.get(key, 0):
            notes.append(f"{count:,} of {n:,} images {sentence}")
    return tuple(notes)


_RULES = dict.fromkeys(("float16", "float32", "float64"), "range [0, 1] of floats")


class ImagesRead(NamedTuple):
    """The images of files.

    Args:
        pixels: uint8 or uint16, (N, C, H, W).
        kept: positions of the files that could be read, int64 (N,).
        sha256: changes if any of the files does.
        notes: as in `latentkit.plugin.ImageData`.
    """

    pixels: Pixels
    kept: NDArray[np.int64]
    sha256: str
    notes: tuple[str, ...]


def read_images(
    files: Sequence[ImageFile],
    reading: ImageReading,
    *,
    skip: bool = False,
    advice: Callable[[str], str] = str,
) -> ImagesRead:
    """Read files into memory.

    Args:
        files: one for each image.
        reading: the rules.
        skip: leave out files that cannot be read, and say so in the notes; else they are an error.
        advice: turns ``OPTION=VALUE`` into what the user has to write.

    Raises:
        latentkit.errors.DataError: files cannot be read, or have no common form.
        latentkit.errors.ResourceError: the images do not fit into memory.
    """
    unreadable: dict[int, str] = {}
    if reading.value_range == "data":
        reading = _with_range(files, reading, unreadable)
    sha, facts, forms = hashlib.sha256(), Counter[str](), Counter[Form]()
    array: Pixels | None = None
    kept: list[int] = []
    for position, file in enumerate(files):
        try:
            image = reading.read(file)
        except (ValueError, DataError) as error:
            unreadable[position] = str(error)
            continue
        channels, height, width = image.pixels.shape
        forms[channels, height, width, image.pixels.dtype.name] += 1
        try:
            form = common_form(forms, reading)
        except ValueError as error:
            raise DataError(f"{error}; the first that differs is {file.path}") from error
        array = _with_room(array, form, len(files))
        array[len(kept)] = widened(image.pixels, form)
        facts.update(image.facts)
        sha.update(image.sha256.encode())
        kept.append(position)
    said = _unreadable(files, unreadable, skip, advice)
    assert array is not None  # noqa: S101  # else all were unreadable, which is an error
    notes = (*said, *reading_notes(facts, len(kept), reading))
    return ImagesRead(array[: len(kept)], np.array(kept, np.int64), sha.hexdigest(), notes)


def _with_range(
    files: Sequence[ImageFile], reading: ImageReading, unreadable: dict[int, str]
) -> ImageReading:
    """Return a reading with the range of all files; files that cannot be read do not count."""
    found = []
    for position, file in enumerate(files):
        try:
            found.append(reading.limits(file))
        except (ValueError, DataError) as error:
            unreadable[position] = str(error)
    if not found:  # reading them says why
        return replace(reading, value_range="type")
    try:
        return in_range_of(reading, found)
    except ValueError as error:
        raise DataError(str(error)) from error


def _with_room(array: Pixels | None, form: Form, n: int) -> Pixels:
    """Return an array of ``n`` images of a form, with the images that there are."""
    shape, kind = (n, *form[:3]), form[3]
    if array is not None and array.shape == shape and array.dtype.name == kind:
        return array
    size = math.prod(shape) * np.dtype(kind).itemsize
    check_memory(size, f"{n:,} images of {form[1]}x{form[2]} pixels")
    return np.empty(shape, kind) if array is None else widened(array, form)


def _unreadable(
    files: Sequence[ImageFile],
    reasons: Mapping[int, str],
    skip: bool,
    advice: Callable[[str], str],
) -> tuple[str, ...]:
    """Return a note on files that cannot be read.

    Raises:
        DataError: they are not skipped, or no file can be read.
    """
    if not reasons:
        return ()
    named = [
        f"{files[at].path} ({reason.removeprefix(f'cannot read {files[at].path}: ')})"
        for at, reason in sorted(reasons.items())[:_NAMED]
    ]
    more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    about = f"{len(reasons):,} of {len(files):,} images cannot be read: {', '.join(named)}{more}"
    if skip and len(reasons) < len(files):
        return (f"{about}; they were left out (unreadable=skip)",)
    raise DataError(
        f"{about}; repair or remove them, or skip them with  {advice('unreadable=skip')}"
    )
