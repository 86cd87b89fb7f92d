"""Loads a set of torchvision, and decodes its images once.

A set is downloaded into a folder of its own, which gets its name when everything has arrived, so
that an interrupted download is not taken for a complete one.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentkit.errors import DataError, LatentkitError, NetworkError, UserError, did_you_mean
from latentkit.plugin import (
    ImageData,
    ImageReading,
    Split,
    check_downloads_allowed,
    class_codes,
    draw_rows,
    stored_pictures,
    torchvision_datasets,
)
from latentkit_torchvision.options import TorchvisionOptions
from latentkit_torchvision.sets import SETS, TorchvisionSet

_FOLDER = "torchvision"
_LABELS = ("targets", "_labels", "labels", "y")
_PAIRS = ("_samples", "samples", "imgs")
_NAMES = ("classes", "categories")
_TEST_SHARE = 0.2
_VERIFIED = {
    "always": "torchvision compares the MD5 of its files each time it is opened",
    "downloaded": "torchvision compares the MD5 of its files when it is downloaded, not later",
    "never": "torchvision compares no MD5 of its files",
}


def load(options: TorchvisionOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W); validation images follow the training images."""
    name = options.dataset
    described = _described(name)
    root = _root(options, described, cache)
    try:
        return _loaded(options, described, root, split)
    except (LatentkitError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(name, root, error) from error


def _described(name: str) -> TorchvisionSet:
    """Return how a set is opened.

    Raises:
        UserError: it is none of torchvision, or has no images with one class each.
    """
    listed = ", ".join(SETS)
    if not name:
        raise UserError(
            f"dataset torchvision: say which set with  -o torchvision.dataset=NAME  ({listed})"
        )
    if name in SETS:
        return SETS[name]
    if name in torchvision_datasets().__all__:
        instead = "emnist is built in:  --dataset emnist" if name == "EMNIST" else f"use {listed}"
        raise UserError(
            f"torchvision's {name} is not offered as images with one class each: {instead}"
        )
    raise UserError(f"torchvision has no set {name!r}{did_you_mean(name, SETS)}: use {listed}")


def _open(name: str, described: TorchvisionSet, root: Path, part: str, download: bool) -> Any:
    make = getattr(torchvision_datasets(), name)
    arguments = {**described.splits[part], **described.others}
    if described.downloads:
        arguments["download"] = download
    return make(str(root), **arguments)


def _root(options: TorchvisionOptions, described: TorchvisionSet, cache: Path) -> Path:
    """Return the folder of a set's files; download them if they are missing.

    Raises:
        DataError: they are missing in a folder that the user names, or nothing may be downloaded.
        NetworkError: they cannot be downloaded.
    """
    name = options.dataset
    if options.root:
        root = Path(options.root).expanduser().absolute()
        if not root.is_dir():
            raise DataError(f"there is no folder {root}: say where {name} is")
        return root
    place = cache / _FOLDER / name
    if place.is_dir():
        return place
    if not described.downloads:
        raise DataError(
            f"torchvision does not download {name}: name the folder that has its files with  -o "
            f"torchvision.root=DIR"
        )
    check_downloads_allowed(f"{name} of torchvision", cache)
    place.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place.with_name(f".{name}.lock")):
        if not place.is_dir():
            _download(name, described, place)
    return place


def _download(name: str, described: TorchvisionSet, place: Path) -> None:
    begun = place.with_name(f".{name}.download")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir()
    try:
        for part in described.splits:
            _open(name, described, begun, part, download=True)
    except Exception as error:
        shutil.rmtree(begun, ignore_errors=True)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NetworkError(
            f"{name} could not be downloaded by torchvision ({reason}): check the network, or put "
            f"its files into {place} as torchvision does"
        ) from error
    begun.replace(place)


def _damaged(name: str, root: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{root} does not have {name} as torchvision expects it ({reason.split('. You can')[0]}): "
        f"delete it to download it again, or name another with  -o torchvision.root=DIR"
    )


def _loaded(
    options: TorchvisionOptions, described: TorchvisionSet, root: Path, split: Split
) -> ImageData:
    name = options.dataset
    # All parts have one list of class names.
    sets = {part: _open(name, described, root, part, False) for part in described.splits}
    codes, names = _codes(name, sets)
    own: tuple[str, ...] = ("test",) if split == "test" else ("train", "validation")
    own = tuple(part for part in own if part in sets) or ("train",)
    rows = {part: np.arange(len(sets[part])) for part in own}
    if "test" not in sets:
        n = len(sets["train"])
        test = draw_rows(n, codes["train"], math.ceil(n * _TEST_SHARE), seed=0)
        rows["train"] = test if split == "test" else np.setdiff1d(np.arange(n), test)
    counts = [len(some) for some in rows.values()]
    keeps_size = options.size is None and described.one_size
    side = options.size or 64
    reading = ImageReading(
        size=(side, side),
        fit="none" if keeps_size else options.fit,
        channels=options.channels,
    )
    stored = stored_pictures(
        lambda: chain.from_iterable(_pictures(sets[part], rows[part]) for part in own),
        sum(counts),
        reading,
        {"set": name, "split": split, "others": dict(described.others)},
        path=root,
        source=f"{name} of torchvision in {root}",
    )
    return ImageData(
        images=stored.images,
        labels=np.concatenate([codes[part][rows[part]] for part in own]),
        class_names=names,
        images_sha256=stored.sha256,
        validation=np.arange(counts[0], sum(counts)) if len(own) > 1 else None,
        notes=(
            f"{name}: {_VERIFIED[described.verified]}",
            *stored.facts,
            *filter(None, [stored.note]),
        ),
    )


def _pictures(one: Any, rows: NDArray[np.int64]) -> Iterator[Image.Image]:
    for row in rows.tolist():
        yield one[row][0]


def _labels(one: Any) -> list[Any]:
    """Return the labels of a set; images are only decoded if it does not keep them as a list."""
    for name in _LABELS:
        if (found := getattr(one, name, None)) is not None and len(found) == len(one):
            return list(np.asarray(found).tolist())
    for name in _PAIRS:
        if (found := getattr(one, name, None)) is not None and len(found) == len(one):
            return [label for *_, label in found]
    return [one[row][1] for row in range(len(one))]


def _codes(name: str, sets: dict[str, Any]) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return the codes of each part, and one list of class names."""
    labels = {part: _labels(one) for part, one in sets.items()}
    values = list(chain.from_iterable(labels.values()))
    if any(value is None or value == -1 for value in values):
        raise DataError(f"{name} has images without a label: it cannot be used")
    codes, names = class_codes(values, len(values))
    first = sets["train"]
    given = next((found for one in _NAMES if (found := getattr(first, one, None))), ())
    if len(given) >= len(names) and names == tuple(map(str, range(len(names)))):
        names = tuple(", ".join(one) if isinstance(one, tuple) else str(one) for one in given)
    ends = np.cumsum([len(one) for one in labels.values()])[:-1]
    return dict(zip(labels, np.split(codes, ends), strict=True)), names
