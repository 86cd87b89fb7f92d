"""``npz``: the user's own NumPy arrays.

An ``.npz`` file holds either ``x_train`` and optionally ``y_train``, ``x_test`` and ``y_test``
(Keras's names), or ``images`` and optionally ``labels``. An ``.npy`` file holds images only, and is
memory-mapped. If the file has no test set, one image in five becomes the test set.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import NpzOptions
from latentkit.builtins.datasets.subsets import rows_of
from latentkit.errors import DataError, UserError, describe_os_error
from latentkit.plugin import ImageData, Split, to_uint8

_NPY, _ZIPS = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06")
_SAVE = "save the arrays with  np.savez(FILE, images=images, labels=labels)"
Arrays = dict[str, NDArray[Any]]


def load(options: NpzOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W)."""
    if not options.path:
        raise UserError("dataset npz: say which file with  -o npz.path=FILE")
    path = Path(options.path).expanduser()
    arrays = _read(path)
    try:
        images, labels = _choose(arrays, split)
        return _image_data(images, labels, _sha256(path))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _read(path: Path) -> Arrays:
    try:
        with path.open("rb") as file:
            start = file.read(len(_NPY))
        if start == _NPY:
            # Copy-on-write, because torch does not support read-only memory.
            return {"images": np.load(path, mmap_mode="c", allow_pickle=False)}
        # Check the content first, because NumPy reports any other file as a pickle.
        if not start.startswith(_ZIPS):
            raise DataError(f"{path} is neither an .npz (a zip of arrays) nor an .npy: {_SAVE}")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise DataError(f"cannot read {path}: {describe_os_error(error)}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy has no exception type for object arrays, only these texts: "Object arrays cannot be
        # loaded", "Python objects in dtype".
        if "object" in str(error).lower():
            raise DataError(
                f"{path} has arrays of objects, which cannot be read: convert them to numbers, or "
                f"to text with dtype=str, and {_SAVE}"
            ) from error
        raise DataError(f"{path} is damaged ({error}): {_SAVE} again") from error


def _choose(arrays: Arrays, split: Split) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    if f"x_{split}" in arrays and "x_test" in arrays:
        return to_uint8(arrays[f"x_{split}"]), arrays.get(f"y_{split}")
    images = arrays.get("images", arrays.get("x_train"))
    labels = arrays.get("labels", arrays.get("y_train"))
    if images is None:
        raise ValueError(
            f"it holds {', '.join(arrays) or 'nothing'}, expected x_train and x_test, or images"
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"it holds {len(images)} images and {len(labels)} labels")
    codes = None if labels is None else np.unique(labels, return_inverse=True)[1].ravel()
    # Convert before the split, so that row numbers in messages are those of the file.
    pixels = to_uint8(images)
    rows = rows_of(split, len(pixels), codes)
    return pixels[rows], None if labels is None else labels[rows]


def _image_data(images: NDArray[np.uint8], labels: NDArray[Any] | None, checksum: str) -> ImageData:
    if labels is None:
        return ImageData(images=images, checksum=checksum)
    labels = labels.ravel()
    if np.issubdtype(labels.dtype, np.integer) and labels.size and labels.min() >= 0:
        names = tuple(str(number) for number in range(int(labels.max()) + 1))
        codes = labels.astype(np.int64)
    else:
        values, codes = np.unique(labels, return_inverse=True)
        names, codes = tuple(map(str, values)), codes.astype(np.int64)
    return ImageData(images=images, labels=codes, class_names=names, checksum=checksum)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
