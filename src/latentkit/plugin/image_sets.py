"""Many image files as one array: a common form, the range that they share, and what is said.

An image can be decoded without the others (`latentkit.plugin.image_files`). What needs all of them
is here: `in_range_of` the range that they share, `common_form` the channels and depth that hold
each of them, and `reading_notes` what the user should know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError
from latentkit.plugin.image_files import SHALLOW, ImageFile, ImageReading

_NAMED = 5  # most unreadable files that a message lists


@dataclass(frozen=True)
class FilePlan:
    """Which image files a data set reads, before it reads any.

    Args:
        files: every picture, training images first, then validation and test images.
        parts: the split of each picture.
        codes: the class of each picture, int64; None if there are no classes.
        class_names: the names of the classes.
        reading: how files become images.
        notes: what users should know so far.
        left_out: how many other files there are, by their endings.
    """

    files: tuple[ImageFile, ...]
    parts: tuple[Literal["train", "validation", "test"], ...]
    codes: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    reading: ImageReading
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


_NAMES = {np.dtype(kind): kind for kind in ("uint8", "uint16")}  # numpy needs longer
_FILES_OF_BLOCK = 128
_BYTES_OF_BLOCK = 4 * 2**20


class Form(NamedTuple):
    """The form that all images of a set have: channels, height, width, and name of the type."""

    channels: int
    height: int
    width: int
    kind: str

    @classmethod
    def of(cls, image: NDArray[Any]) -> Form:
        """Return the form of an image (C, H, W)."""
        channels, height, width = image.shape
        return cls(channels, height, width, _NAMES.get(image.dtype) or image.dtype.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""
        return np.dtype(self.kind)

    @property
    def bytes_of_image(self) -> int:
        """Bytes of an image."""
        return self.channels * self.height * self.width * self.dtype.itemsize

    @property
    def files_of_block(self) -> int:
        """Number of images in a block."""
        return max(1, min(_FILES_OF_BLOCK, _BYTES_OF_BLOCK // self.bytes_of_image))

    def holds(self, other: Form) -> bool:
        """Return whether images of another form can be stored in this one without loss."""
        return (
            other[1:3] == self[1:3]
            and other.channels in (self.channels, 1)
            and other.dtype.itemsize <= self.dtype.itemsize
        )

    def fitted(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images (..., C, H, W) of a form that this one holds in this form.

        Grey images become colour images with equal channels, and 8 bits become 16.
        """
        if images.dtype.itemsize < self.dtype.itemsize:
            images = images.astype(np.uint16) * np.uint16(257)  # 255 becomes 65,535
        shape = (*images.shape[:-3], *self.shape)
        return np.ascontiguousarray(np.broadcast_to(images, shape))


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
    return Form(max(bands), height, width, "uint16" if deep else "uint8")


class FormsFound:
    """The forms of the images that were decoded so far, and the one that holds all of them."""

    def __init__(self, reading: ImageReading) -> None:
        self._reading = reading
        self._counts: dict[Form, int] = {}
        self._firsts: dict[Form, Path | str] = {}

    def joined(self, forms: Mapping[Form, Sequence[int]], files: Sequence[ImageFile]) -> Form:
        """Return the form of all images so far, and of some more.

        Args:
            forms: the forms of these, with the positions of their files.
            files: their files.

        Raises:
            DataError: there is none.
        """
        for form, positions in forms.items():
            self._counts[form] = self._counts.get(form, 0) + len(positions)
            self._firsts.setdefault(form, files[positions[0]].path)
        try:
            return common_form(self._counts, self._reading)
        except ValueError as error:
            rarest = min(self._counts, key=lambda form: self._counts[form])
            raise DataError(f"{error}; {self._firsts[rarest]} differs from most") from error


def reading_notes(
    facts: Mapping[str, int], n: int, reading: ImageReading, *, options: bool = True
) -> tuple[str, ...]:
    """Return a sentence for each thing that users should know about how images were read.

    Args:
        facts: how many images have each fact of `DecodedImage`.
        n: number of images.
        reading: the rules.
        options: whether to name the options of a data set that say so, or that would help.
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
    for key, (sentence, option) in _SENTENCES.items():
        if count := facts.get(key, 0):
            named = f" ({option})" if options and option else ""
            notes.append(f"{count:,} of {n:,} images {sentence}{named}")
    return tuple(notes)


_SENTENCES = {
    "reduced": ("were reduced to 8 bits", "depth=8"),
    "clipped": ("have values out of this range, which were clipped", ""),
    "transparent": ("have transparent parts, which became white", ""),
    "dark": ("use less than an eighth of this range", "range=data makes all images brighter"),
    "several": ("are from files of several pictures, of which the first was used", "page=first"),
    "cropped": ("lost a part of their longer side", "fit=crop; fit=pad keeps all"),
    "constant": ("are constant: every pixel is the same", ""),
}
_RULES = dict.fromkeys(("float16", "float32", "float64"), "range [0, 1] of floats")


def unreadable_note(
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
