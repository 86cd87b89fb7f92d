"""Loads the images of a set from its ``.npz`` file, which is downloaded once.

J. Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023). A file has ``train_images`` and
``train_labels``, and the same for ``val`` and ``test``. Images are uint8 (N, H, W) or (N, H, W, 3);
labels are (N, 1), or (N, classes) if an image may have several.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError
from latentkit.plugin import ArrayFile, ImageData, Split, VerifiedFiles
from latentkit_medmnist.options import ChestmnistOptions, MedmnistOptions
from latentkit_medmnist.sets import SETS, URL, MedicalSet

_Load = Callable[[MedmnistOptions, Split, Path], ImageData]
_FOLDER = "MedMNIST"


def _load(options: MedmnistOptions, split: Split, cache: Path, *, name: str) -> ImageData:
    """Return the images of a split, (N, C, size, size)."""
    described = SETS[name]
    file, md5 = described.file(options.size)
    files = VerifiedFiles(name, cache, _FOLDER, {file: md5}, [options.mirror or URL])
    path = files.path(file)
    parts = ["train", "val"] if split == "train" and options.validation == "join" else [split]
    with ArrayFile(path, "delete it to download it again") as arrays:
        try:
            images, labels = _read(arrays, parts)
            _check(images, labels, described, options.size)
        except (ValueError, KeyError) as error:
            raise DataError(f"{path} is not {name} as published: {error}") from error
        checksum = arrays.sha256()
    codes, classes = _classes(labels, described, options)
    return ImageData(
        images=np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
        labels=codes,
        class_names=classes,
        licence=described.licence,
        checksum=checksum,
    )


def _read(arrays: ArrayFile, parts: list[str]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return the images (N, H, W, C) and labels (N, L) of several parts, concatenated."""
    images, labels = ([arrays[f"{part}_{what}"] for part in parts] for what in ("images", "labels"))
    joined = images[0] if len(images) == 1 else np.concatenate(images)
    return joined[..., None] if joined.ndim == 3 else joined, np.concatenate(labels)


def _check(images: NDArray[Any], labels: NDArray[Any], described: MedicalSet, size: int) -> None:
    """Raise a ValueError if the arrays do not match the published description of the set."""
    form = (size, size, described.channels)
    if images.dtype != np.uint8 or images.shape[1:] != form:
        raise ValueError(f"images are {images.dtype} {images.shape}, expected uint8 (N, *{form})")
    columns = len(described.classes) if described.several else 1
    if labels.shape != (len(images), columns):
        raise ValueError(f"labels are {labels.shape}, expected ({len(images)}, {columns})")
    most = 1 if described.several else len(described.classes) - 1
    if labels.dtype.kind not in "iu" or not labels.size or labels.min() < 0 or labels.max() > most:
        raise ValueError(f"labels are not all in 0..{most}")


def _classes(
    labels: NDArray[Any], described: MedicalSet, options: MedmnistOptions
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each image (N,) and the class names."""
    if not isinstance(options, ChestmnistOptions):
        return labels[:, 0].astype(np.int64), described.classes
    found = labels.sum(1, dtype=np.int64)
    if options.labels == "any":
        return (found > 0).astype(np.int64), ("no finding", "any finding")
    several = len(described.classes) + 1
    alone = labels.argmax(1).astype(np.int64) + 1
    codes = np.where(found == 0, 0, np.where(found == 1, alone, several))
    return codes, ("no finding", *described.classes, "several findings")


load_pathmnist: _Load = partial(_load, name="pathmnist")
load_chestmnist: _Load = partial(_load, name="chestmnist")
load_dermamnist: _Load = partial(_load, name="dermamnist")
load_octmnist: _Load = partial(_load, name="octmnist")
load_pneumoniamnist: _Load = partial(_load, name="pneumoniamnist")
load_retinamnist: _Load = partial(_load, name="retinamnist")
load_breastmnist: _Load = partial(_load, name="breastmnist")
load_bloodmnist: _Load = partial(_load, name="bloodmnist")
load_tissuemnist: _Load = partial(_load, name="tissuemnist")
load_organamnist: _Load = partial(_load, name="organamnist")
load_organcmnist: _Load = partial(_load, name="organcmnist")
load_organsmnist: _Load = partial(_load, name="organsmnist")
