"""List the folders that contain a certain file, such as runs and studies, and open each of them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from latentkit.errors import LatentkitError, UserError, describe_error, describe_os_error

_Opened = TypeVar("_Opened")


def folders_with(
    name: str, root: Path, holds: Callable[[Path, str], bool] | None = None
) -> list[Path]:
    """Return the folders in ``root`` that contain a file of this name, sorted.

    Args:
        name: name of the file.
        root: the folder of folders.
        holds: returns whether a folder counts as one with such a file; None for `contains`.

    Raises:
        UserError: ``root`` cannot be read, or is a file.
    """
    try:
        return sorted(path for path in root.iterdir() if (holds or contains)(path, name))
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise UserError(f"{root} is not a folder: give the path of a folder") from error
    except OSError as error:
        raise UserError(f"cannot read {root}: {describe_os_error(error)}") from error


def contains(folder: Path, name: str) -> bool:
    """Return whether a folder contains a file of this name.

    A folder that cannot be searched counts as one that does: opening it then says what is wrong.
    """
    try:
        return (folder / name).is_file()
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG  # such a folder cannot exist
    except ValueError:  # nor can one with a NUL in its name
        return False


def open_each(
    paths: Iterable[Path], open_one: Callable[[Path], _Opened]
) -> tuple[list[_Opened], dict[Path, str]]:
    """Open each path, and return in one line why a path cannot be opened.

    Args:
        paths: what to open.
        open_one: opens a path; may raise `LatentkitError`.

    Returns:
        What could be opened, and the error of each path that could not.
    """
    opened, faults = [], {}
    for path in paths:
        try:
            opened.append(open_one(path))
        except LatentkitError as error:
            faults[path] = describe_error(error)
    return opened, faults
