"""Files that list test items, such as those that the explorer page exports for ``--items``."""

from __future__ import annotations

from pathlib import Path

from latentkit import reading
from latentkit.errors import DataError, UserError, describe_os_error

_MOST = 2**26  # bytes; a page exports about seven for each item
_OTHERS = ("train:", "validation:")


def read_items(path: Path) -> tuple[str, ...]:
    """Return the items that a file lists, one on each line: a number, or ``class:NAME[:i]``.

    Lines that begin with ``#`` and empty lines are skipped.

    Raises:
        UserError: there is no item, a line is none, or the file cannot be read.
        DataError: the file is no text.
        IntegrityError: it is far larger than such a file.
    """
    try:
        with reading.open_file(path) as file:
            content = reading.read_at_most(file, path, _MOST)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {describe_os_error(error)}") from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text: give a file that lists items") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith(_OTHERS):
            raise UserError(
                f"{path}, line {number}: {text!r} is a training or validation image, and commands "
                f"show test images: export a selection of these only"
            )
        if not (text.isdecimal() or text.startswith("class:")):
            raise UserError(
                f"{path}, line {number}: {text!r} is no item: write a number, or class:NAME[:i]"
            )
        found.append(text)
    if not found:
        raise UserError(f"{path} lists no items: write one on each line")
    return tuple(found)
