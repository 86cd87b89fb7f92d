"""Images that a user gives to a trained run: files, folders, arrays, in the form of the run's own.

`ImageForm` says how an image gets the shape that the model takes: by the rules of the run's data
set, if it reads files. Files may be hostile: only known decoders are used, nothing but regular
files is opened, and an image of very many pixels is refused.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentkit.errors import DataError, UserError, describe_error, describe_os_error
from latentkit.plugin.decoding import in_processes
from latentkit.plugin.image_files import MOST_PIXELS, DecodedImage, ImageReading
from latentkit.plugin.image_formats import (
    NeedsOptionError,
    is_hidden,
    left_out_note,
    readable_endings,
)
from latentkit.plugin.image_sets import reading_notes
from latentkit.plugin.images import ImageData, check_float_images, plain_array

_MOST_VALUES = 2**24  # values of a batch; as float32, they take 64 MiB
_MOST_IMAGES = 1000
_MOST_ROWS = 65_536  # of a part of the results
_FILES_OF_TASK = 16

Unreadable = Literal["refuse", "skip"]


@dataclass(frozen=True)
class ImageForm:
    """The shape of a run's images, and how other images are brought to it.

    Args:
        shape: channels, height, width.
        reading: how files become images of this shape. Its range is ``data`` if the run used the
            range of its own files, and did not record it.
        stated: whether the run's data set states how; otherwise files are cropped, which is a
            choice of ours.
    """

    shape: tuple[int, int, int]
    reading: ImageReading
    stated: bool = False

    @classmethod
    def of_data_set(
        cls,
        options: Any,
        shape: tuple[int, int, int],
        bits: Literal[8, 16] = 8,
        value_range: tuple[float, float] | None = None,
    ) -> ImageForm:
        """Return the form of a run's images, from what is known of its data set.

        Args:
            options: the options of the data set; those that `ImageReading` has are followed.
            shape: channels, height, width.
            bits: of each value.
            value_range: the numbers of files that are black and white, if they were recorded.
        """
        fit: Any = getattr(options, "fit", None)
        stated = fit in ("crop", "pad", "stretch", "none")
        channels: Any = getattr(options, "channels", None)
        if channels not in ("grey", "rgb", "all") and not isinstance(channels, tuple):
            # The images have what the files had; of other data sets, transparency is a channel.
            other: Literal["auto", "all"] = "auto" if stated else "all"
            channels = {1: "grey", 3: "rgb"}.get(shape[0], other)
        limits: Any = getattr(options, "limits", None)
        if value_range is not None or not (limits == "data" or isinstance(limits, tuple)):
            limits = value_range or "type"
        most = getattr(options, "max_pixels", None)
        reading = ImageReading(
            size=shape[1:],
            fit=fit if stated else "crop",
            channels=channels,
            depth=bits,
            value_range=limits,
            max_pixels=most if isinstance(most, int) else MOST_PIXELS,
        )
        return cls(shape, reading, stated)

    def __str__(self) -> str:
        channels, height, width = self.shape
        how = {
            "crop": "scaled, and cropped to the middle",
            "pad": "scaled, and padded with black",
            "stretch": "stretched",
            "none": "of one size",
        }[self.reading.fit]
        colour = {1: "grey", 3: "colour"}.get(channels, f"with {channels} channels")
        depth = ", 16 bits" if self.reading.depth == 16 else ""
        why = "as for this run" if self.stated else "because its data set states no other rule"
        return f"images are {how}: {height}x{width} {colour}{depth}, {why}"

    @property
    def batch(self) -> int:
        """Number of images in a batch of bounded memory."""
        return max(1, min(_MOST_IMAGES, _MOST_VALUES // int(np.prod(self.shape))))

    def checked(self, decoded: DecodedImage) -> DecodedImage:
        """Return an image that was read, if it has the shape.

        Raises:
            ValueError: it has another.
        """
        channels, height, width = self.shape
        own, *size = decoded.pixels.shape
        if size != [height, width]:
            raise ValueError(f"it has {size[0]}x{size[1]} pixels, expected {height}x{width}")
        if own != channels:
            raise ValueError(f"it has channels: {own}, and the run's images have {channels}")
        return decoded

    def check_range(self) -> None:
        """Refuse to read files if nobody knows which of their numbers are black and white.

        Raises:
            UserError: nobody does.
        """
        if self.reading.value_range == "data":
            raise UserError(
                "this run's black and white are the smallest and largest number of its own files "
                "(range=data), and an earlier version of latentkit did not record them: give "
                "arrays of floats in [0, 1], or train the run again"
            )


Batch = tuple[list[str], NDArray[Any]]
"""Names (B) and images (B, C, H, W): uint8, uint16, or float32 in [0, 1]."""


@dataclass(frozen=True)
class GivenArrays:
    """Images in memory.

    Args:
        names: a name for each image.
        images: (N, C, H, W), uint8, uint16, or float32 in [0, 1].
        form: the form of the run's images, which these have.
        unreadable: empty; as in `GivenFiles`.
        facts: how many images have each fact of `DecodedImage`.
    """

    names: Sequence[str]
    images: NDArray[Any]
    form: ImageForm
    unreadable: dict[str, str] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self) -> Iterator[Batch]:
        """Yield names and images, in order."""
        for start in range(0, len(self), self.form.batch):
            stop = start + self.form.batch
            yield list(self.names[start:stop]), self.images[start:stop]


@dataclass(frozen=True)
class GivenFiles:
    """Image files, which are decoded when their batch is due, by all processors if they are many.

    Args:
        paths: the files, as the user gave them or below a folder that the user gave.
        form: the form of the run's images.
        on_unreadable: whether a file that cannot be read is an error or is left out.
        left_out: number of files in the given folders that are not read, by their endings.
        unreadable: why a file could not be read, filled by `batches`.
        facts: how many images have each fact of `DecodedImage`, filled by `batches`.
    """

    paths: Sequence[str]  # not Path, which takes three times as much memory
    form: ImageForm
    on_unreadable: Unreadable = "refuse"
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self) -> Iterator[Batch]:
        """Yield names and images of the readable files, in order.

        Raises:
            DataError: a file cannot be read, and such files are not left out; or none can be read.
        """
        self.unreadable.clear()
        self.facts.clear()
        found = False
        for start in range(0, len(self), self.form.batch):
            names: list[str] = []
            images: list[NDArray[Any]] = []
            paths = self.paths[start : start + self.form.batch]
            for path, image in zip(paths, self._decoded(paths), strict=True):
                if isinstance(image, _Fault):
                    self._skip(path, image)
                else:
                    self.facts.update(image.facts)
                    images.append(image.pixels)
                    names.append(path)
            if names:
                found = True
                yield names, np.stack(images)
        if not found:
            first, why = next(iter(self.unreadable.items()))
            raise DataError(
                f"none of {len(self)} images can be read, such as {first} ({why}): give other files"
            )

    def _decoded(self, paths: Sequence[str]) -> list[DecodedImage | _Fault]:
        size = _FILES_OF_TASK
        tasks = ((at, paths[at : at + size], self.form) for at in range(0, len(paths), size))
        found = dict(in_processes(_decode, tasks, len(paths), size))
        return [image for at in sorted(found) for image in found[at]]

    def _skip(self, path: str, fault: _Fault) -> None:
        if self.on_unreadable == "refuse":
            raise DataError(
                f"{path} cannot be read ({fault.why}): repair or remove it, or leave such files "
                f"out with --unreadable skip (in Python, unreadable='skip')"
            )
        self.unreadable[path] = fault.why

    def notes(self) -> Iterator[str]:
        """Yield a line for each thing that the user should know before the images are used."""
        yield f"{len(self):,} files; {self.form}"
        if note := left_out_note(self.left_out, len(self)):
            yield note


GivenImages = GivenArrays | GivenFiles


class _Fault(NamedTuple):
    """Why a file cannot be read."""

    why: str


def _decode(
    start: int, paths: Sequence[str], form: ImageForm
) -> tuple[int, list[DecodedImage | _Fault]]:
    """Decode files in any process; ``start`` is given back, because results have no order."""
    found: list[DecodedImage | _Fault] = []
    for path in paths:
        try:
            found.append(form.checked(form.reading.read(Path(path))))
        except MemoryError:
            raise
        # Broken files make decoders raise exceptions of many types.
        except Exception as error:
            found.append(_Fault(_reason(error).removeprefix(f"cannot read {path}: ")))
    return start, found


def _reason(error: Exception) -> str:
    if isinstance(error, NeedsOptionError):
        return error.what  # whose options are of data sets
    return " ".join(str(error).split()) or describe_error(error)


def rows_of_part(values: int) -> int:
    """Return how many rows of results of so many values are kept in memory at a time."""
    return max(1, min(_MOST_ROWS, _MOST_VALUES // values))


def loss_notes(images: GivenImages) -> tuple[str, ...]:
    """Return a sentence for each thing that was lost when images were read, once they were."""
    if not images.facts:
        return ()
    count = len(images) - len(images.unreadable)
    return reading_notes(images.facts, count, images.form.reading, options=False)


def given_images(images: Any, form: ImageForm, unreadable: Unreadable = "refuse") -> GivenImages:
    """Return images of any kind that a user gives, in the form of a run's images.

    Args:
        images: the path of a file or folder, a pattern such as ``photos/*.png``, or a list of
            them; an image of Pillow, or a list of them; `ImageData`; or an array or tensor
            (N, C, H, W), (N, H, W, C), or (N, H, W), or of a single image, of the form's size.
            What this function returned is returned as it is.
        form: the form of the run's images.
        unreadable: whether files that cannot be read are an error, or are left out.

    Raises:
        UserError: there is no such file, or arrays have another shape or range.
        DataError: a folder holds no image files.
    """
    if isinstance(images, GivenArrays | GivenFiles):
        return images
    if unreadable not in ("refuse", "skip"):
        raise UserError(f"unreadable={unreadable!r}: should be 'refuse' or 'skip'")
    if isinstance(images, str | os.PathLike):
        return _files([images], form, unreadable)
    if isinstance(images, ImageData):
        return _of_array(images.images, form)
    if isinstance(images, Image.Image):
        images = [images]
    if isinstance(images, Sequence) and not isinstance(images, bytes):
        if not len(images):
            raise UserError("no images are given: give files, images of Pillow, or an array")
        if all(isinstance(one, str | os.PathLike) for one in images):
            return _files(images, form, unreadable)
        if all(isinstance(one, Image.Image) for one in images):
            return _of_pillow(images, form)
        if any(isinstance(one, str | os.PathLike | Image.Image) for one in images):
            kinds = sorted({type(one).__name__ for one in images})
            raise UserError(f"the images are of several kinds ({', '.join(kinds)}): give one kind")
    return _of_array(images, form)


def _of_pillow(images: Sequence[Image.Image], form: ImageForm) -> GivenArrays:
    form.check_range()
    try:
        read = [form.checked(form.reading.read_picture(one)) for one in images]
    except ValueError as error:
        raise UserError(f"an image cannot be used: {_reason(error)}") from error
    facts = Counter(fact for one in read for fact in one.facts)
    names = [str(row) for row in range(len(images))]
    return GivenArrays(names, np.stack([one.pixels for one in read]), form, facts=facts)


def _of_array(values: Any, form: ImageForm) -> GivenArrays:
    channels, height, width = form.shape
    try:
        array = plain_array(values)
    except ValueError as error:
        raise UserError(f"the images are {error}") from error
    if array.shape in (form.shape, (height, width, channels), (height, width)):
        array = array[None]
    if array.ndim == 3 and channels == 1:
        array = array[:, None]
    if array.ndim == 4 and array.shape[1:] == (height, width, channels) != form.shape:
        array = array.transpose(0, 3, 1, 2)
    if not array.ndim:
        raise UserError(
            f"images cannot be {type(values).__name__}: give files, images of Pillow, or an array"
        )
    if array.ndim != 4 or array.shape[1:] != form.shape or not len(array):
        # Of images of the right size, only the channels differ.
        same_size = (height, width) in (array.shape[-2:], array.shape[-3:-1])
        wanted = f"{channels} channel{'s' if channels > 1 else ''}"
        change = f"give them {wanted}" if same_size else "scale them"
        does = "converted" if same_size else "scaled"
        raise UserError(
            f"the images have shape {np.shape(values)}, but the run takes (N, {channels}, "
            f"{height}, {width}): {change} first, or give files or images of Pillow, which are "
            f"{does}"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype not in (np.uint8, np.uint16):
        try:
            check_float_images(array)
        except ValueError as error:
            raise UserError(str(error)) from error
        array = array.astype(np.float32, copy=False)
    return GivenArrays([str(row) for row in range(len(array))], array, form)


def _files(
    sources: Iterable[str | os.PathLike[str]], form: ImageForm, unreadable: Unreadable
) -> GivenFiles:
    form.check_range()
    found: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    for source in sources:
        for path in _matches(os.fspath(source)):
            if path.is_dir():
                found |= dict.fromkeys(_below(path, left_out))
            else:
                found[str(path)] = None
    if not found:
        named = ", ".join(os.fspath(source) for source in sources)
        note = left_out_note(left_out, 0)
        kinds = ", ".join(sorted(readable_endings()))
        raise DataError(f"{named} holds no image files ({kinds})" + (f"; {note}" if note else ""))
    return GivenFiles(list(found), form, unreadable, left_out)


def _matches(source: str) -> list[Path]:
    """Return the file or folder of this name, or what matches it as a pattern, sorted."""
    path = Path(source).expanduser()
    try:
        if os.path.lexists(path):
            return [path]
        matching = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # keeps './'
    except ValueError:  # a NUL in the name
        matching = []
    if not matching:
        raise UserError(f"no file or folder is called {source!r} or matches it: check the path")
    return [Path(one) for one in matching]


def _below(folder: Path, left_out: Counter[str]) -> Iterator[str]:
    """Yield the image files in a folder and its folders, in the order of their names.

    Files and folders that `is_hidden` names are left out; links to folders are not followed.
    """
    endings = readable_endings()

    def fail(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {describe_os_error(error)}") from error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        inside = "" if place == "." else place
        for name in sorted(name for name in names if not is_hidden(name)):
            ending = Path(name).suffix.lower()
            if ending in endings:
                yield os.path.join(inside, name)  # noqa: PTH118  # see GivenFiles.paths
            else:
                left_out[ending] += 1


def result_paths(paths: Sequence[str], ending: str) -> Iterator[str]:
    """Yield a relative path for the result of each file: its own, with another ending.

    Paths start at the folder that contains all files. Files that differ in their endings only
    keep them: ``a.jpg`` and ``a.gif`` become ``a.jpg.png`` and ``a.gif.png``.

    Args:
        paths: the files.
        ending: such as ``.png``.
    """
    root = os.path.commonpath({os.path.dirname(_full(path)) for path in paths})  # noqa: PTH120
    stems = Counter(os.path.splitext(_full(path))[0].casefold() for path in paths)  # noqa: PTH122
    for path in paths:
        inside = os.path.relpath(_full(path), root)
        stem = os.path.splitext(inside)[0]  # noqa: PTH122
        alone = stems[os.path.splitext(_full(path))[0].casefold()] == 1  # noqa: PTH122
        yield f"{stem if alone else inside}{ending}"


def _full(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100  # links are kept
