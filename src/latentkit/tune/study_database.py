"""Checks of ``study.db``, a database in a folder that may come from a stranger."""

from __future__ import annotations

import stat
from pathlib import Path

from latentkit.errors import IntegrityError
from latentkit.reading import inside
from latentkit.tune.study_folder import DATABASE

_SIBLINGS = ("", "-journal", "-wal", "-shm")
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def check_database(folder: Path) -> None:
    """Refuse a database whose opening would touch files elsewhere, or would block.

    SQLite follows links. It also reads, and may delete, the file that a journal names at its end,
    which it only writes for transactions over several databases.

    Raises:
        IntegrityError: the database or a file that belongs to it is a link or no regular file, or
            its journal names another file.
    """
    for suffix in _SIBLINGS:
        path = inside(folder, f"{DATABASE}{suffix}")
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            raise IntegrityError(f"{path} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(mode):
            raise IntegrityError(f"{path} is no regular file: remove it")
        if suffix == "-journal" and _names_a_file(path):
            raise IntegrityError(
                f"{path} names another file, which SQLite might delete: nothing is opened"
            )


def _names_a_file(journal: Path) -> bool:
    try:
        with journal.open("rb") as file:
            if file.seek(0, 2) < 2 * len(_SUPER_JOURNAL):
                return False
            file.seek(-len(_SUPER_JOURNAL), 2)
            return file.read() == _SUPER_JOURNAL
    except OSError:  # SQLite will say what is wrong
        return False
