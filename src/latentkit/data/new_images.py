"""Images that a user gives to a trained run: files, folders, arrays, in the form of the run's own.

`ImageForm` says how an image gets the shape that the model takes: by the rule of the run's data
set, if it has one. Files may be hostile: only known decoders of Pillow are used, nothing but
regular files is opened, and an image larger than Pillow's limit is refused.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError, UserError, describe_os_error
from latentkit.plugin.images import ImageData, check_float_images, plain_array
from latentkit.reading import open_file

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
# Only these decoders are used, whatever a file's name says: others may start programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_SIXTEEN_BITS = {"PNG", "PPM"}  # formats whose mode I, in older Pillows, has 16 bits
_WHITE_OF_16_BITS = 65_535
_MOST_VALUES = 2**24  # values of a batch; as float32, they take 64 MiB
_MOST_IMAGES = 1000
_NAMED = 5  # most endings that a message lists

Unreadable = Literal["refuse", "skip"]


@dataclass(frozen=True)
class ImageForm:
    """The shape of a run's images, and how other images are brought to it.

    Args:
        shape: channels, height, width.
        fit: ``crop`` scales an image until it covers the shape and cuts out the middle, ``pad``
            scales it until it fits and fills the rest with black, ``stretch`` scales both sides,
            and ``none`` refuses other sizes.
        stated: whether the run's data set states ``fit``; otherwise it is a choice of ours.
    """

    shape: tuple[int, int, int]
    fit: str = "crop"
    stated: bool = False

    @classmethod
    def of_data_set(cls, options: Any, shape: tuple[int, int, int]) -> ImageForm:
        """Return the form of a run's images, from its shape and its data set's options."""
        fit = getattr(options, "fit", None)
        known = fit in ("crop", "pad", "stretch", "none")
        return cls(shape, str(fit) if known else "crop", known)

    def __str__(self) -> str:
        channels, height, width = self.shape
        how = {
            "crop": "scaled, and cropped to the middle",
            "pad": "scaled, and padded with black",
            "stretch": "stretched",
            "none": "of one size",
        }[self.fit]
        colour = "grey" if channels == 1 else "colour"
        why = "as for this run" if self.stated else "because its data set states no other rule"
        return f"images are {how}: {height}x{width} {colour}, {why}"

    @property
    def batch(self) -> int:
        """Number of images in a batch of bounded memory."""
        return max(1, min(_MOST_IMAGES, _MOST_VALUES // int(np.prod(self.shape))))


def read_image(path: Path, form: ImageForm) -> NDArray[np.uint8]:
    """Return the image in a file, uint8 (C, H, W), in the form of a run's images.

    Orientation tags are applied, transparent parts become white, and 16-bit grey becomes 8-bit.
    Of a file with several pictures, the first is used.

    Raises:
        Exception: the file cannot be decoded; decoders raise exceptions of many types.
    """
    from PIL import Image

    with warnings.catch_warnings(), open_file(path) as file:
        # Pillow itself refuses images of twice the size that it warns about.
        warnings.simplefilter("ignore")
        if not os.fstat(file.fileno()).st_size:
            raise ValueError("the file is empty")
        with Image.open(file, formats=_FORMATS) as image:
            return in_form(image, form)


def in_form(image: Image.Image, form: ImageForm) -> NDArray[np.uint8]:
    """Return an image of Pillow as uint8 (C, H, W), in the form of a run's images.

    Raises:
        ValueError: it has another size and the form fits none, or it has numbers without a white.
    """
    from PIL import Image, ImageOps

    channels, height, width = form.shape
    upright = ImageOps.exif_transpose(_eight_bits(image))
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layered = upright.convert("RGBA")
        upright = Image.new("RGBA", layered.size, "white")
        upright.alpha_composite(layered)
    plain = upright.convert("L" if channels == 1 else "RGB")
    size, scaling = (width, height), Image.Resampling.BILINEAR
    if form.fit == "none" and plain.size != size:
        raise ValueError(f"it has {plain.height}x{plain.width} pixels, expected {height}x{width}")
    if form.fit == "crop":
        plain = ImageOps.fit(plain, size, scaling)
    elif form.fit == "pad":
        plain = ImageOps.pad(plain, size, scaling)
    elif form.fit == "stretch":
        plain = plain.resize(size, scaling)
    pixels = np.asarray(plain, dtype=np.uint8).reshape(height, width, -1)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image whose values are bytes; Pillow itself would cut larger values off."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or (image.mode == "I" and image.format not in _SIXTEEN_BITS):
        low, high = values.min(), values.max()
        raise ValueError(f"its values reach from {low:g} to {high:g}: save it with 8 or 16 bits")
    grey = Image.fromarray(np.rint(values / _WHITE_OF_16_BITS * 255).astype(np.uint8))
    grey.info.update(image.info)
    if isinstance(image.info.get("transparency"), int):
        grey.info["transparency"] = image.info["transparency"] * 255 // _WHITE_OF_16_BITS
    return grey


Batch = tuple[list[str], NDArray[Any]]
"""Names (B) and images (B, C, H, W): uint8, uint16, or float32 in [0, 1]."""


@dataclass(frozen=True)
class GivenArrays:
    """Images in memory.

    Args:
        names: a name for each image.
        images: (N, C, H, W), uint8, uint16, or float32 in [0, 1].
        form: the form of the run's images, which these have.
    """

    names: Sequence[str]
    images: NDArray[Any]
    form: ImageForm
    unreadable: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self) -> Iterator[Batch]:
        """Yield names and images, in order."""
        for start in range(0, len(self), self.form.batch):
            stop = start + self.form.batch
            yield list(self.names[start:stop]), self.images[start:stop]


@dataclass(frozen=True)
class GivenFiles:
    """Image files, each decoded when its batch is due.

    Args:
        paths: the files, as the user gave them or below a folder that the user gave.
        form: the form of the run's images.
        on_unreadable: whether a file that cannot be read is an error or is left out.
        left_out: number of files in the given folders that are no images, by their endings.
        unreadable: why a file could not be read, filled by `batches`.
    """

    paths: Sequence[Path]
    form: ImageForm
    on_unreadable: Unreadable = "refuse"
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self) -> Iterator[Batch]:
        """Yield names and images of the readable files, in order.

        Raises:
            DataError: a file cannot be read, and such files are not left out; or none can be read.
        """
        found = False
        for start in range(0, len(self), self.form.batch):
            names: list[str] = []
            images: list[NDArray[np.uint8]] = []
            for path in self.paths[start : start + self.form.batch]:
                try:
                    images.append(read_image(path, self.form))
                # Broken files make Pillow's decoders raise exceptions of many types.
                except Exception as error:
                    self._skip(path, error)
                else:
                    names.append(str(path))
            if names:
                found = True
                yield names, np.stack(images)
        if not found:
            first, why = next(iter(self.unreadable.items()))
            raise DataError(f"none of {len(self)} images can be read, such as {first} ({why})")

    def _skip(self, path: Path, error: Exception) -> None:
        if isinstance(error, MemoryError):
            raise error
        why = _reason(error)
        if self.on_unreadable == "refuse":
            raise DataError(
                f"{path} cannot be read ({why}): repair or remove it, or leave such files out with "
                f"--unreadable skip"
            ) from error
        self.unreadable[str(path)] = why

    def notes(self) -> Iterator[str]:
        """Yield a line for each thing that the user should know before the images are used."""
        yield f"{len(self):,} files; {self.form}"
        if self.left_out:
            kinds = [f"{n:,} {ending}" for ending, n in self.left_out.most_common(_NAMED)]
            more = ["..."] if len(self.left_out) > _NAMED else []
            total = sum(self.left_out.values())
            yield f"{total:,} other files are no images, by their names: {', '.join(kinds + more)}"


GivenImages = GivenArrays | GivenFiles


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"no image of the formats {', '.join(_FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return describe_os_error(error)
    return " ".join(str(error).split()) or type(error).__name__


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
    from PIL import Image

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
    if isinstance(images, Sequence) and len(images):
        if all(isinstance(one, str | os.PathLike) for one in images):
            return _files(images, form, unreadable)
        if all(isinstance(one, Image.Image) for one in images):
            _check_channels(form)
            try:
                pixels = np.stack([in_form(one, form) for one in images])
            except (ValueError, OSError) as error:
                raise UserError(f"an image cannot be used: {_reason(error)}") from error
            return GivenArrays([str(row) for row in range(len(images))], pixels, form)
    return _of_array(images, form)


def _check_channels(form: ImageForm) -> None:
    if form.shape[0] not in (1, 3):
        raise UserError(
            f"the run's images have {form.shape[0]} channels, which image files do not have: give "
            f"arrays, or a data set"
        )


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
    if array.ndim != 4 or array.shape[1:] != form.shape or not len(array):
        raise UserError(
            f"the images have shape {np.shape(values)}, but the run takes (N, {channels}, "
            f"{height}, {width}): scale them first, or give files or images of Pillow, which are "
            f"scaled"
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
    _check_channels(form)
    found: dict[Path, None] = {}
    left_out: Counter[str] = Counter()
    for source in sources:
        for path in _matches(os.fspath(source)):
            if path.is_dir():
                found |= dict.fromkeys(_below(path, left_out))
            else:
                found[path] = None
    if not found:
        named = ", ".join(os.fspath(source) for source in sources)
        raise DataError(f"{named} holds no image files ({', '.join(sorted(ENDINGS))})")
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
        raise UserError(f"there is no file, folder or match of {source!r}: name your images")
    return [Path(one) for one in matching]


def _below(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Yield the image files in a folder and its folders, in the order of their names.

    Hidden files and folders are left out, and ``__MACOSX``; links to folders are not followed.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {describe_os_error(error)}") from error

    def is_hidden(name: str) -> bool:
        return name.startswith(".") or name == "__MACOSX"

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(name for name in names if not is_hidden(name)):
            path = Path(place, name)
            if path.suffix.lower() in ENDINGS:
                yield path
            else:
                left_out[path.suffix.lower() or "without ending"] += 1


def result_paths(paths: Sequence[Path], ending: str) -> list[Path]:
    """Return a relative path for the result of each file: its own, with another ending.

    Paths start at the folder that contains all files. Files that differ in their endings only
    keep them: ``a.jpg`` and ``a.gif`` become ``a.jpg.png`` and ``a.gif.png``.

    Args:
        paths: the files.
        ending: such as ``.png``.
    """
    full = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  # links are kept
    root = os.path.commonpath([path.parent for path in full])
    inside = [path.relative_to(root) for path in full]
    stems = Counter(str(path.with_suffix("")).casefold() for path in inside)
    return [
        path.with_suffix(ending)
        if stems[str(path.with_suffix("")).casefold()] == 1
        else path.with_name(f"{path.name}{ending}")
        for path in inside
    ]
