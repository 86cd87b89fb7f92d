"""``image-folder``: image files of any size, depth and kind, in a folder.

`latentkit.builtins.datasets.image_listing` says which folders are classes and splits;
`latentkit.builtins.datasets.label_file` reads labels from a table instead. Without a test folder,
one image in five of each class is in the test set; a validation folder is used as it is.

`latentkit.plugin.ImageReading` has the rules by which files become images. They are the same for
all splits, and so are the channels and the depth that hold every image.
"""

from __future__ import annotations

import gc
import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from latentkit.builtins.datasets.image_listing import (
    FolderTimes,
    Listing,
    Part,
    folder_times,
    list_folder,
)
from latentkit.builtins.datasets.label_file import labelled
from latentkit.builtins.datasets.options import ImageFolderOptions, located
from latentkit.builtins.datasets.subsets import LEAST_IMAGES, draw_note, rows_of
from latentkit.errors import DataError, UserError, describe_os_error
from latentkit.plugin import FilePlan, ImageData, ImageFile, ImageReading, Split, read_images

_SETTLED = 0.1  # seconds; more than the clock of any file system lags behind
_OPTION = "-o image-folder.{}".format


def load(options: ImageFolderOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W); validation images follow the training images."""
    with _light_collection():
        root, notes = _root(options, cache)
        plan = _planned_at(root, options)
        read = read_images(
            plan.files,
            plan.reading,
            source=str(root),
            skip=options.unreadable == "skip",
            advice=_OPTION,
        )
    parts = np.array(plan.parts)[read.kept]
    rows = np.flatnonzero((parts == "test") == (split == "test"))
    if not len(rows) or (split == "train" and not (parts == "train").any()):
        raise DataError(f"no {split} image can be read in {options.path}")
    validation = np.flatnonzero(parts[rows] == "validation")
    shown = f"{read.pixels_sha256} {rows[0]} {rows[-1]}"
    try:
        return ImageData(
            images=read.pixels[rows[0] : rows[-1] + 1],
            labels=None if plan.codes is None else plan.codes[read.kept][rows],
            class_names=plan.class_names,
            checksum=read.sha256,
            images_sha256=hashlib.sha256(shown.encode()).hexdigest(),
            validation=validation if len(validation) else None,
            notes=(*notes, *plan.notes, *read.notes),
            display_channels=options.display_channels,
            value_range=read.value_range,
        )
    except ValueError as error:
        raise DataError(f"{options.path}: {error}") from error


@contextmanager
def _light_collection() -> Iterator[None]:
    """Let the garbage collector skip what exists so far while many small objects are made.

    It would otherwise visit everything that torch has made several times, which takes longer than
    to list a large folder.
    """
    if gc.get_freeze_count():  # the caller has done so
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


_planned: dict[str, tuple[FilePlan, Mapping[str, FolderTimes]]] = {}
"""The last plan by its folder and options; the second split of a large folder is asked for next."""


def plan_folder(options: ImageFolderOptions) -> FilePlan:
    """Return which files are read, how, and for which split and class.

    Raises:
        UserError: no folder is named.
        DataError: the folder or the label file cannot be read, or cannot be understood.
    """
    root, _ = _root(options, None)
    return _planned_at(root, options)


def _planned_at(root: Path, options: ImageFolderOptions) -> FilePlan:
    asked = f"{root}\n{options.model_dump_json()}"
    if asked in _planned:
        plan, folders = _planned[asked]
        if all(folder_times(folder) == times for folder, times in folders.items()):
            return plan
    plan, folders = _plan(root, options)
    _planned.clear()
    # A folder that has just changed may change again without another time.
    newest = max((max(times) for times in folders.values()), default=math.inf) / 1e9
    if time.time() - newest > _SETTLED and options.page != "all":
        _planned[asked] = plan, folders
    return plan


def _plan(folder: Path, options: ImageFolderOptions) -> tuple[FilePlan, Mapping[str, FolderTimes]]:
    """Return the plan, and the times of change of the folders that it depends on."""
    listing = list_folder(folder, "none" if options.labels else options.classes)
    if options.labels:
        listing = labelled(listing, options.labels, options.label_column)
    reading = ImageReading(
        size=(options.size, options.size) if isinstance(options.size, int) else options.size,
        fit=options.fit,
        channels=options.channels,
        depth=options.depth,
        value_range=options.limits,
        max_pixels=options.max_pixels,
        all_pages=options.page == "all",
    )
    codes = {name: code for code, name in enumerate(listing.class_names)}
    files: list[ImageFile] = []
    root = os.path.join(listing.root, "")  # noqa: PTH118  # a text: a million paths take seconds
    parts: list[Part] = []
    labels: list[int] = []
    for part, places in sorted(_with_test(listing).items(), key=lambda item: _ORDER[item[0]]):
        for place, name in places:
            path = f"{root}{place}"
            pages = reading.pages(Path(path)) if reading.all_pages else 1
            files += [ImageFile(path, page) for page in range(pages)]
            parts += [part] * pages
            labels += [codes.get(name, 0)] * pages
    plan = FilePlan(
        tuple(files),
        tuple(parts),
        np.array(labels, np.int64) if codes else None,
        listing.class_names,
        reading,
        tuple(listing.notes),
        dict(listing.left_out),
    )
    return plan, listing.folders


_ORDER: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}


def _root(options: ImageFolderOptions, cache: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the images, and a note if it is not the one of the options."""
    if not options.path:
        raise UserError("dataset image-folder: say which folder with  -o image-folder.path=DIR")
    root, notes = located(options.path, cache)
    try:
        if root.is_dir():
            return root, notes
    except OSError as error:
        raise DataError(f"cannot read {root}: {describe_os_error(error)}") from error
    raise DataError(
        f"there is no folder {root}: say where your images are with  -o image-folder.path=DIR, or, "
        f"for a run that exists, with --data-dir and the folder that contains {root.name}"
    )


def _with_test(listing: Listing) -> dict[Part, list[tuple[str, str]]]:
    """Return place and class of each file by split; a test set is drawn if none is given.

    All pictures of a file are in the same split.
    """
    classes = listing.classes or {part: [""] * len(one) for part, one in listing.files.items()}
    found = {
        part: list(zip(places, classes[part], strict=True))
        for part, places in listing.files.items()
    }
    if "test" in found:
        return found
    given = found["train"]
    if len(given) < LEAST_IMAGES:
        raise DataError(
            f"{listing.root} holds {len(given)} image{'s' * (len(given) != 1)} to learn from and "
            f"to test with: {LEAST_IMAGES} or more are needed"
        )
    names = {name: code for code, name in enumerate(listing.class_names)}
    labels = np.array([names[name] for _, name in given]) if names else None
    rows = {split: rows_of(split, len(given), labels) for split in ("train", "test")}
    listing.notes += draw_note(labels, rows["test"])
    found["train"] = [given[row] for row in rows["train"]]
    found["test"] = [given[row] for row in rows["test"]]
    return found
