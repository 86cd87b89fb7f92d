"""``image-folder``: PNG, JPEG and other image files of any size.

Three layouts are supported: ``train/<class>/*`` with ``test/<class>/*``; ``<class>/*``; and images
without classes directly in the folder. Without ``test/``, one image in five is in the test set.
Hidden files and folders are left out, and ``__MACOSX``. If there are classes, an image that belongs
to none is an error.

Every image is made square: ``crop`` scales the shorter side to ``size`` and cuts out the middle,
``pad`` scales the longer side and fills the rest with black, ``stretch`` scales both sides. Images
are scaled by Pillow's antialiased bilinear filter, after the camera's orientation tag is applied.
Transparent parts become white. Of a file with several pictures (an animation, a TIFF of several
pages) the first is used. 16-bit grey becomes 8-bit: its white is 65,535. Files of 32-bit numbers
are refused, because they do not say which number is white.
"""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from latentkit.builtins.datasets.options import ImageFolderOptions
from latentkit.builtins.datasets.subsets import rows_of
from latentkit.errors import DataError, UserError, describe_os_error
from latentkit.plugin import ImageData, Split, check_memory, read_bytes

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
# Only these readers are used, whatever a file's name says: others may start programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_SIXTEEN_BITS = {"PNG", "PPM"}  # formats whose mode I, in older Pillows, has 16 bits
_WHITE_OF_16_BITS = 65_535
_NAMED = 5  # most unreadable files that a message lists


def load(options: ImageFolderOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, size, size)."""
    if not options.path:
        raise UserError("dataset image-folder: say which folder with  -o image-folder.path=DIR")
    root = Path(options.path).expanduser().absolute()
    try:
        is_there = root.is_dir()
    except OSError as error:
        raise DataError(f"cannot read {root}: {describe_os_error(error)}") from error
    if not is_there:
        raise DataError(
            f"there is no folder {root}: say where your images are with  -o image-folder.path=DIR"
        )
    has_test = (root / "train").is_dir() and (root / "test").is_dir()
    base = root / split if has_test else root
    try:
        classes = _classes(root / "train" if has_test else root)
        paths, codes = _files(base, classes)
        if classes:
            _check_all_are_found(base, classes)
    except OSError as error:
        raise DataError(f"cannot read {base}: {describe_os_error(error)}") from error
    if not paths:
        raise DataError(f"{base} holds no image files ({', '.join(sorted(_ENDINGS))})")
    images, kept, checksum = _read(paths, options)
    labels = codes[kept] if classes else None
    if not has_test:
        if len(images) < 5:
            raise DataError(f"{base} holds {len(images)} images: 5 or more are needed")
        rows = rows_of(split, len(images), labels)
        images, labels = images[rows], None if labels is None else labels[rows]
    return ImageData(images=images, labels=labels, class_names=classes, checksum=checksum)


def _classes(folder: Path) -> tuple[str, ...]:
    found = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(name for name in found if not _is_hidden(name)))


def _is_hidden(name: str) -> bool:
    """Return whether other programs keep a file or folder of this name for themselves."""
    return name.startswith(".") or name == "__MACOSX"


def _check_all_are_found(base: Path, classes: Sequence[str]) -> None:
    """Refuse images that would be left out because they are not in a folder of a class.

    Raises:
        DataError: there are such images, in the folder itself or in another folder.
    """
    others = set(_classes(base)) - set(classes)
    lost = [path for name in sorted(others) for path in _images_below(base / name)]
    lost += [path for path in _images_below(base) if path.parent == base]
    if lost:
        raise DataError(
            f"{lost[0]} and {len(lost) - 1} more images are in no folder of a class "
            f"({', '.join(classes[:_NAMED])}{', ...' if len(classes) > _NAMED else ''}): move them "
            f"into one, or elsewhere"
        )


def _images_below(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, in the order of their names."""
    named = (path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    seen = (path for path in named if not any(map(_is_hidden, path.relative_to(folder).parts)))
    return sorted(path for path in seen if not path.is_dir())


def _files(base: Path, classes: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Return the image files in the order of their names, and the class code of each."""
    paths: list[Path] = []
    codes: list[int] = []
    for code, folder in enumerate([base / name for name in classes] or [base]):
        found = _images_below(folder)
        paths += found
        codes += [code] * len(found)
    return paths, np.array(codes, dtype=np.int64)


def _read(
    paths: Sequence[Path], options: ImageFolderOptions
) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    """Return the images, the positions of the readable ones in ``paths``, and a SHA-256 of all."""
    sha = hashlib.sha256()
    channels = 1 if options.channels == "grey" else 3
    shape = (len(paths), options.size, options.size, channels)
    check_memory(math.prod(shape), f"{len(paths):,} images of {options.size} pixels a side")
    array = np.empty(shape, np.uint8)
    kept: list[int] = []
    unreadable: list[str] = []
    for position, path in enumerate(paths):
        try:
            content = read_bytes(path)
            sha.update(content)
            array[len(kept)] = _decoded(content, options)
        # Broken files make Pillow's decoders raise exceptions of many types.
        except Exception as error:
            unreadable.append(f"{path} ({_reason(error)})")
        else:
            kept.append(position)
    if unreadable and (options.unreadable == "refuse" or not kept):
        more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        raise DataError(
            f"{len(unreadable)} of {len(paths)} images cannot be read: "
            f"{', '.join(unreadable[:_NAMED])}{more}; repair or remove them, or skip them with  "
            f"-o image-folder.unreadable=skip"
        )
    array = array[: len(kept)]
    if options.channels == "auto" and (array == array[..., :1]).all():
        array = array[..., :1]
    return (
        np.ascontiguousarray(array.transpose(0, 3, 1, 2)),
        np.array(kept, dtype=np.int64),
        sha.hexdigest(),
    )


def _decoded(content: bytes, options: ImageFolderOptions) -> NDArray[np.uint8]:
    """Return the image in a file as uint8 (size, size, channels)."""
    if not content:
        raise ValueError("the file is empty")
    with warnings.catch_warnings():
        # About odd facts beside the pixels, and about images that may still be read: Pillow itself
        # refuses those of twice the size that it warns about.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return _square(_eight_bits(image), options)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"no image of the formats {', '.join(_FORMATS)}"
    return " ".join(str(error).split()) or type(error).__name__


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image whose values are bytes; Pillow itself would cut larger values off."""
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


def _square(image: Image.Image, options: ImageFolderOptions) -> NDArray[np.uint8]:
    """Return an image as uint8 (size, size, channels)."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layered = upright.convert("RGBA")
        upright = Image.new("RGBA", layered.size, "white")
        upright.alpha_composite(layered)
    plain = upright.convert("L" if options.channels == "grey" else "RGB")
    size, scaling = (options.size, options.size), Image.Resampling.BILINEAR
    if options.fit == "crop":
        plain = ImageOps.fit(plain, size, scaling)
    elif options.fit == "pad":
        plain = ImageOps.pad(plain, size, scaling)
    else:
        plain = plain.resize(size, scaling)
    return np.asarray(plain, dtype=np.uint8).reshape(options.size, options.size, -1)
