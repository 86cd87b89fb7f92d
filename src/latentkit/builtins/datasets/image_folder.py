"""``image-folder``: PNG, JPEG and other image files of any size.

Three layouts are supported: ``train/<class>/*`` with ``test/<class>/*``; ``<class>/*``; and images
without classes directly in the folder. Without ``test/``, one image in five is in the test set.

Every image is made square: ``crop`` scales the shorter side to ``size`` and cuts out the middle,
``pad`` scales the longer side and fills the rest with black, ``stretch`` scales both sides. Images
are scaled by Pillow's antialiased bilinear filter, after the camera's orientation tag is applied.
Transparent parts become white.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from latentkit.builtins.datasets.options import ImageFolderOptions
from latentkit.builtins.datasets.subsets import rows_of
from latentkit.errors import DataError, UserError, describe_os_error
from latentkit.plugin import ImageData, Split

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_NAMED = 5  # most unreadable files that a message lists


def load(options: ImageFolderOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, size, size)."""
    if not options.path:
        raise UserError("dataset image-folder: say which folder with  -o image-folder.path=DIR")
    root = Path(options.path).expanduser()
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
    classes = _classes(root / "train" if has_test else root)
    paths, codes = _files(base, classes)
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
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


def _files(base: Path, classes: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Return the image files in the order of their names, and the class code of each."""
    paths: list[Path] = []
    codes: list[int] = []
    for code, folder in enumerate([base / name for name in classes] or [base]):
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())
        paths += found
        codes += [code] * len(found)
    return paths, np.array(codes, dtype=np.int64)


def _read(
    paths: Sequence[Path], options: ImageFolderOptions
) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    """Return the images, the positions of the readable ones in ``paths``, and a SHA-256 of all."""
    sha = hashlib.sha256()
    images, kept, unreadable = [], [], []
    for position, path in enumerate(paths):
        try:
            sha.update(path.read_bytes())
            with Image.open(path) as image:
                images.append(_square(image, options))
        # Broken files make Pillow's decoders raise exceptions of many types.
        except Exception as error:
            unreadable.append(f"{path} ({error})")
        else:
            kept.append(position)
    if unreadable and (options.unreadable == "refuse" or not images):
        more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        raise DataError(
            f"{len(unreadable)} of {len(paths)} images cannot be read: "
            f"{', '.join(unreadable[:_NAMED])}{more}; repair or remove them, or skip them with  "
            f"-o image-folder.unreadable=skip"
        )
    array = np.stack(images)
    if options.channels == "auto" and (array == array[..., :1]).all():
        array = array[..., :1]
    return (
        np.ascontiguousarray(array.transpose(0, 3, 1, 2)),
        np.array(kept, dtype=np.int64),
        sha.hexdigest(),
    )


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
