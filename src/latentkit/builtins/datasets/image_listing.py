"""Which files of a folder are images, of which class and of which split.

A folder is one of these:

- images directly in it, without classes;
- a folder for each class; a class is a folder that holds images, named by its place, as ``a/b``;
- ``train`` or ``training``, and optionally ``val``, ``valid`` or ``validation``, and ``test``, each
  one of the above.

Files and folders that other programs keep for themselves are not counted. A linked folder is read
if it leads outside what has been read.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from latentkit.errors import DataError
from latentkit.plugin import is_hidden, left_out_note, readable_endings

Part = Literal["train", "validation", "test"]
SPLITS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_NAMED = 5


class FolderTimes(NamedTuple):
    """When the entries and the properties of a folder last changed, in nanoseconds."""

    entries: int
    properties: int


def folder_times(folder: Path | str) -> FolderTimes | None:
    """Return when a folder last changed; None if it cannot be read."""
    try:
        about = os.stat(folder)  # noqa: PTH116  # often a text
    except OSError:
        return None
    return FolderTimes(about.st_mtime_ns, about.st_ctime_ns)


@dataclass
class Listing:
    """The images of a folder: for each split its files, and the class of each.

    Args:
        root: the folder.
        files: places in the folder, as ``cats/1.png``, by split, in the order of their folders and
            names; only splits that have a folder of their own, or all in ``train``.
        classes: name of the class of each file, by split; None if there are no classes.
        class_names: one list of names for all splits.
        notes: what was left out, and what the names of folders were taken for.
        left_out: how many files are no images that can be read, by their endings.
        folders: the times of change of each folder that was searched, before it was.
    """

    root: Path
    files: dict[Part, list[str]] = field(default_factory=dict)
    classes: dict[Part, list[str]] | None = None
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    left_out: Mapping[str, int] = field(default_factory=dict)
    folders: Mapping[str, FolderTimes] = field(default_factory=dict)


@dataclass
class _Found:
    """The places of images and of empty folders below a folder, and what was left out.

    ``folders`` has the times of change of each folder that was searched, in nanoseconds.
    """

    images: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    linked_again: int = 0
    folders: dict[str, FolderTimes] = field(default_factory=dict)


def list_folder(root: Path, classes: Literal["auto", "top", "none"]) -> Listing:
    """List the images of a folder.

    Args:
        root: the folder.
        classes: ``auto`` makes every folder that holds images a class; ``top`` only those directly
            in the folder or in a split; ``none`` leaves images unlabelled.

    Raises:
        DataError: there are no images, images lie beside the folders of classes, or the folders of
            splits are ambiguous.
    """
    try:
        found = _search(root)
    except OSError as error:
        place = error.filename or root
        raise DataError(f"cannot read {place}: {error.strerror or error}") from error
    if not found.images:
        kinds = ", ".join(sorted(readable_endings()))
        left = left_out_note(found.others, len(found.images))
        raise DataError(f"{root} holds no image files ({kinds})" + (f"; {left}" if left else ""))
    splits = _split_folders(root, found)
    left = left_out_note(found.others, len(found.images))
    notes = [left] if left else []
    listing = Listing(root, notes=notes, left_out=found.others, folders=found.folders)
    if splits:
        _fill_splits(listing, found, splits)
    else:
        listing.files["train"] = found.images
    if found.empty:
        listing.notes.append(f"{len(found.empty):,} empty folders: {some(sorted(found.empty))}")
    if found.linked_again:
        listing.notes.append(f"{found.linked_again:,} linked folders left out, read already")
    if classes != "none":
        listing.classes = _classes(listing, 1 if splits else 0, classes)
        _say_about_classes(listing, bool(splits))
    return listing


def _search(root: Path) -> _Found:
    """Find what lies below a folder; linked folders come last, so that each is read once."""
    found = _Found()
    seen: set[tuple[int, int]] = set()
    waiting, linked, endings = [""], list[str](), readable_endings()
    while waiting or linked:
        is_link = not waiting
        folder = waiting.pop() if waiting else linked.pop(0)
        about = (root / folder).stat()
        if (about.st_dev, about.st_ino) in seen:
            found.linked_again += is_link
            continue
        seen.add((about.st_dev, about.st_ino))
        found.folders[str(root / folder)] = FolderTimes(about.st_mtime_ns, about.st_ctime_ns)
        start, is_empty = f"{folder}/" if folder else "", True
        folders: dict[str, bool] = {}
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = entry.name
                if is_hidden(name):
                    continue
                is_empty = False
                ending = name[name.rfind(".") :].lower() if "." in name else ""
                if entry.is_dir():
                    folders[start + name] = entry.is_symlink()
                elif ending in endings:
                    found.images.append(start + name)
                else:
                    found.others[ending] += 1
        if is_empty and folder:
            found.empty.append(folder)
        for place in sorted(folders):
            (linked if folders[place] else waiting).append(place)
    # By folders, then names: no name has a character before the one that takes the slash's place.
    found.images.sort(key=lambda place: place.replace("/", "\0"))
    return found


def _split_folders(root: Path, found: _Found) -> dict[str, Part]:
    """Return the splits by the names of their folders; empty if the folder has none.

    ``train`` beside other folders with images, and without a test or validation folder, is a class,
    as in a set of vehicles.

    Raises:
        DataError: two folders are for one split, or there are no training images.
    """
    tops = {_top(place) for place in found.images}
    folders = (tops | {place.split("/")[0] for place in found.empty}) - {""}
    named = {name: SPLITS[name.lower()] for name in folders if name.lower() in SPLITS}
    parts = Counter(named.values())
    others = tops - set(named) - {""}
    if not named or ("train" not in parts and others) or (len(parts) == 1 and others):
        return {}
    if twice := [part for part, number in parts.items() if number > 1]:
        both = " and ".join(sorted(name for name, part in named.items() if part == twice[0]))
        raise DataError(f"{root} has {both}, both for {twice[0]} images: rename or join them")
    if not any(part == "train" and name in tops for name, part in named.items()):
        raise DataError(
            f"{root} has {', '.join(sorted(named))}, but no training images: put them into "
            f"{root / 'train'}, or set path to the folder that is to be divided"
        )
    return named


def _top(place: str) -> str:
    """Return the first folder of a place, or empty."""
    top, slash, _ = place.partition("/")
    return top if slash else ""


def _fill_splits(listing: Listing, found: _Found, splits: dict[str, Part]) -> None:
    """Give each split its files, and say which files are in none."""
    outside = Counter[str]()
    for place in found.images:
        if part := splits.get(_top(place)):
            listing.files.setdefault(part, []).append(place)
        else:
            outside[_top(place)] += 1
    if outside:
        named = ", ".join(f"{n:,} in {name or 'no folder'}" for name, n in outside.most_common(3))
        listing.notes.append(
            f"{sum(outside.values()):,} images left out, which are in no folder of a split: {named}"
        )
    for name, part in splits.items():
        if part not in listing.files:
            instead = "one image in five" if part == "test" else "a part of the training images"
            listing.notes.append(f"{name} holds no images: {instead} is used for {part}")


def _classes(
    listing: Listing, depth: int, rule: Literal["auto", "top"]
) -> dict[Part, list[str]] | None:
    """Return the class of each file; None if no file is in a folder of a class.

    Raises:
        DataError: only some files are.
    """
    named: dict[Part, list[str]] = {}
    known: dict[str, str] = {}

    def class_of(folder: str) -> str:
        names = folder.split("/")[depth:]
        name = "/".join(names[:1] if rule == "top" else names)
        known[folder] = unicodedata.normalize("NFC", name)
        return known[folder]

    for part, files in listing.files.items():
        folders = (place.rpartition("/")[0] for place in files)
        named[part] = [known.get(folder) or class_of(folder) for folder in folders]
    all_names = {name for names in named.values() for name in names}
    if all_names == {""}:
        return None
    if "" in all_names:
        lost = [
            listing.root / place
            for part, files in listing.files.items()
            for place, name in zip(files, named[part], strict=True)
            if not name
        ]
        raise DataError(
            f"{lost[0]} and {len(lost) - 1} more images are in no folder of a class "
            f"({some(sorted(all_names - {''}))}): move them into one, or "
            f"elsewhere, or read all without classes with classes=none"
        )
    return named


def _say_about_classes(listing: Listing, has_splits: bool) -> None:
    """Name the classes; add notes on nested ones, and on those without training images."""
    notes = listing.notes
    if listing.classes is None:
        return
    names = sorted({name for of_part in listing.classes.values() for name in of_part})
    listing.class_names = tuple(names)
    if nested := next((name for name in names if "/" in name), ""):
        notes.append(
            f"classes are nested folders, such as {nested}: classes=top makes the first folder "
            f"the class"
        )
    odd = [name for name in names if name.lower() in SPLITS]
    if odd and not has_splits:
        notes.append(f"the folder {odd[0]} is a class here, because other folders are, too")
    say_untrained(listing)


def say_untrained(listing: Listing) -> None:
    """Add a note on classes that no training image has."""
    trained = set((listing.classes or {}).get("train", ()))
    used = {name for names in (listing.classes or {}).values() for name in names}
    if untrained := [name for name in listing.class_names if name in used - trained]:
        listing.notes.append(
            f"{len(untrained):,} of {len(listing.class_names):,} classes have no training images: "
            f"{some(untrained)}"
        )


def some(names: Sequence[str]) -> str:
    """Return the first of several names."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
