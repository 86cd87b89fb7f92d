"""Labels of image files in a CSV or Parquet file, in place of folders for classes.

A row names a file, relative to the folder of the images, and its label. Columns are found by their
names: ``path``, ``file``, ``filename``, ``file_name``, ``image`` or ``filepath``, else the first,
has the files; ``split``, if it exists, has train, val or test.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from latentkit.builtins.datasets.image_listing import SPLITS, Listing, Part, say_untrained, some
from latentkit.errors import BrokenEnvironmentError, DataError, did_you_mean
from latentkit.plugin import class_codes, read_bytes

_OF_PATHS = ("path", "file", "filename", "file_name", "image", "filepath")
_MISSING = {"", "nan", "none", "null", "n/a"}

Table = dict[str, list[Any]]


def labelled(listing: Listing, file: str, columns: str) -> Listing:
    """Return the images of a listing that a label file names, with its labels.

    Args:
        listing: the images of the folder.
        file: path of the label file; a relative one is looked for in the folder, too.
        columns: names of the columns of labels, with commas; empty for the only one.

    Raises:
        DataError: the file cannot be read, or has unknown paths, duplicates or missing labels.
    """
    path = Path(file).expanduser()
    path = path if path.is_absolute() or path.exists() else listing.root / path
    table = _read_table(path)
    if not table or not next(iter(table.values())):
        raise DataError(f"{path} has no rows of labels")
    by_lower = {name.lower(): name for name in table}
    of_paths = next((by_lower[name] for name in _OF_PATHS if name in by_lower), next(iter(table)))
    of_split = by_lower.get("split", "")
    of_labels = _label_columns(path, table, {of_paths, of_split}, columns)
    places = [PurePosixPath(str(one).replace("\\", "/")).as_posix() for one in table[of_paths]]
    of_place = {place: part for part, found in listing.files.items() for place in found}
    _check_places(path, places, of_place, listing.root)
    labels = _joined(path, [table[name] for name in of_labels])
    if of_split:
        of_place = _parts(path, places, table[of_split])
    try:
        codes, names = class_codes(labels, len(labels), "rows")
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    found = Listing(listing.root, class_names=names, classes={}, notes=list(listing.notes))
    found.left_out = listing.left_out
    for place, code in sorted(zip(places, codes.tolist(), strict=True)):
        found.files.setdefault(of_place[place], []).append(place)
        assert found.classes is not None  # noqa: S101  # for mypy
        found.classes.setdefault(of_place[place], []).append(names[code])
    total = sum(map(len, listing.files.values()))
    if len(places) < total:
        found.notes.append(
            f"{total - len(places):,} images left out, which {path.name} does not name"
        )
    if "train" not in found.files:
        raise DataError(f"{path} names no training images")
    say_untrained(found)
    return found


def _read_table(path: Path) -> Table:
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from error
    head = text.partition("\n")[0]
    try:
        rows = list(
            csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count), strict=True)
        )
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error
    rows = [row for row in rows if row]
    if not rows:
        return {}
    header, *lines = rows
    for number, row in enumerate(lines, 2):
        if len(row) != len(header):
            raise DataError(f"{path}, row {number}: {len(row)} values for {len(header)} columns")
    return {
        name.strip(): _as_numbers([row[at].strip() for row in lines])
        for at, name in enumerate(header)
    }


def _as_numbers(values: list[str]) -> list[Any]:
    """Return whole numbers as such, if all values are, so that 10 comes after 2."""
    whole = all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", value) for value in values)
    return [int(value) for value in values] if whole else list(values)


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise BrokenEnvironmentError(
            f"{path} needs the package pyarrow:  pip install 'latentkit[parquet]'"
        ) from error
    content = read_bytes(path)
    try:
        table: Table = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pydict()
    except Exception as error:  # pyarrow's own exceptions, of many kinds
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or not a Parquet file ({reason})") from error
    return table


def _label_columns(path: Path, table: Table, others: set[str], columns: str) -> list[str]:
    if columns:
        chosen = [name.strip() for name in columns.split(",")]
        for name in chosen:
            if name not in table:
                raise DataError(
                    f"{path} has no column {name!r}{did_you_mean(name, table)}: it has "
                    f"{', '.join(table)}"
                )
        return chosen
    chosen = [name for name in table if name not in others]
    if len(chosen) != 1:
        raise DataError(
            f"{path} has {len(chosen)} columns beside the paths ({', '.join(chosen) or 'none'}): "
            f"name the one with the labels with  -o image-folder.label_column=NAME"
        )
    return chosen


def _check_places(path: Path, places: Sequence[str], known: dict[str, Part], root: Path) -> None:
    first: dict[str, int] = {}
    for row, place in enumerate(places, 2):
        if place in first:
            raise DataError(
                f"{path} names {place} twice, in rows {first[place]} and {row}: keep one of them"
            )
        first[place] = row
    if unknown := [place for place in places if place not in known]:
        hint = did_you_mean(unknown[0], known) if len(known) < 10_000 else ""
        raise DataError(
            f"{path} names {len(unknown):,} files that are not among the {len(known):,} images in "
            f"{root}: {some(unknown)}{hint}; paths are relative to that folder"
        )


def _joined(path: Path, columns: list[list[Any]]) -> list[Any]:
    """Return one label per row; several columns are joined as ``a/b``.

    Raises:
        DataError: a label is missing.
    """
    rows = list(zip(*columns, strict=True))
    missing = [
        number
        for number, row in enumerate(rows, 2)
        if any(one is None or one != one or str(one).lower() in _MISSING for one in row)
    ]
    if missing:
        raise DataError(
            f"{path}: {len(missing):,} of {len(rows):,} rows have no label, the first is row "
            f"{missing[0]}: fill them in, or leave these images out"
        )
    if len(columns) == 1:
        return columns[0]
    return ["/".join(map(str, row)) for row in rows]


def _parts(path: Path, places: Sequence[str], values: Sequence[Any]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for row, (place, value) in enumerate(zip(places, values, strict=True), 2):
        part = SPLITS.get(str(value).strip().lower())
        if part is None:
            raise DataError(f"{path}, row {row}: split {value!r} should be train, val or test")
        found[place] = part
    return found
