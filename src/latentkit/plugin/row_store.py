"""Chosen images of a large array file, copied once and memory-mapped by every later command."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from latentkit import errors
from latentkit.plugin.decoding import FileFound
from latentkit.plugin.downloads import stat_of
from latentkit.plugin.image_cache import (
    LOCK,
    PIXELS,
    SMALLER,
    Entry,
    Files,
    Place,
    StoredImages,
    cache_folder,
    canonical_key,
    hashes_of,
    make_room,
    report_progress,
    sha256_of_all,
    why_not_kept,
)
from latentkit.plugin.image_files import ImageFile
from latentkit.plugin.image_sets import Form
from latentkit.plugin.machine import check_memory

ReadRows = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Returns the images at rows of an array, uint8 or uint16, (M, C, H, W)."""


def stored_rows(
    path: Path,
    rows: NDArray[np.int64],
    read: ReadRows,
    settings: Mapping[str, Any],
    *,
    source: str,
    facts: Callable[[], Sequence[str]] = tuple,
) -> StoredImages:
    """Return chosen images of a large array file as an array of their own on the disk.

    Args:
        path: the file, absolute; of an array that is a folder, ``settings`` must change when its
            files do.
        rows: which images, (N,).
        read: returns some of them.
        settings: everything that decides what ``read`` returns, as JSON has it.
        source: as in `stored_images`.
        facts: called when all rows were read; returns sentences on how, which `StoredImages.facts`
            has also when the rows are not read again.

    Raises:
        latentkit.errors.ResourceError: there is room neither on the disk nor in memory.
    """
    chosen = hashlib.sha256(np.ascontiguousarray(rows, dtype=np.int64).data).hexdigest()
    key = canonical_key({**settings, "path": os.fspath(path), "rows": chosen}, source)
    place = Place(cache_folder(), key, source)
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place.folder / f"{key}{LOCK}"):
            entry = place.entry()
            if entry is None or not _is_of(entry, path):
                _copy_rows(place, path, rows, read, facts)
                entry = place.entry()
    except OSError as error:
        note = why_not_kept(place.folder, error)
        return _rows_in_memory(rows, read, facts, note)
    if entry is None:
        raise errors.DataError(f"{path} changes while it is read: repeat the command later")
    stored = entry.stored(entry.files())
    return replace(stored, kept=np.arange(len(rows)))


def _is_of(entry: Entry, path: Path) -> bool:
    try:
        files = entry.files()
    except (OSError, errors.LatentkitError, KeyError, TypeError, ValueError):
        return False
    return files.are([ImageFile(path)]) and files.are_as_they_were()


def _copy_rows(
    place: Place,
    path: Path,
    rows: NDArray[np.int64],
    read: ReadRows,
    facts: Callable[[], Sequence[str]],
) -> None:
    stat, form, hashes = stat_of(path), Form.of(read(rows[:1])[0]), []
    make_room(place.folder, len(rows) * form.bytes_of_image, keep=place.key)
    place.building.mkdir(exist_ok=True)
    with (place.building / PIXELS).open("wb") as file:
        for start in range(0, len(rows), form.files_of_block):
            images = np.ascontiguousarray(read(rows[start : start + form.files_of_block]))
            file.write(images.data)
            hashes.append(hashlib.sha256(images.data).hexdigest())
            report_progress(start + len(images), len(rows))
    files = Files.of([ImageFile(path)], [FileFound(stat, tuple(facts()))])
    place.commit(form, hashes, files, {}, count=len(rows))


def _rows_in_memory(
    rows: NDArray[np.int64], read: ReadRows, facts: Callable[[], Sequence[str]], note: str
) -> StoredImages:
    first = read(rows[:1])
    check_memory(
        len(rows) * first.nbytes, f"{len(rows):,} images that cannot be kept on the disk", SMALLER
    )
    images, form = read(rows), Form.of(first[0])
    sha = sha256_of_all(form, len(rows), hashes_of(images, form.files_of_block))
    said = dict.fromkeys(facts(), 1)
    return StoredImages(images, np.arange(len(rows)), sha, facts=said, note=note)
