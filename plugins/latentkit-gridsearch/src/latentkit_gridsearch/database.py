"""The SQLite file that a storage URL names: transactions that wait for each other."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeVar

from latentkit.errors import StorageError, UserError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_KINDS = ("sqlite", "sqlite+pysqlite")
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_PERM: "it cannot be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
}
# SQLite waits without looking at signals: short waits, asked for again, leave Ctrl-C in force.
_WAIT_SECONDS = 0.5
_PATIENCE_SECONDS = 600.0


class RecordsError(StorageError):
    """The file of records cannot be read or written: no trial is to blame."""


class Database:
    """A SQLite file. Each transaction has a connection of its own, so any thread may call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, work: Work[T]) -> T:
        """Return what ``work`` returns, done wholly or not at all, and alone with the file.

        Raises:
            RecordsError: the file cannot be written, or others hold it for ten minutes.
        """
        return self._patiently("rwc", "BEGIN IMMEDIATE", work)

    def read(self, work: Work[T]) -> T:
        """Return what ``work`` returns; it sees one state of the file, which must exist.

        Raises:
            RecordsError: the file cannot be read, or others hold it for ten minutes.
        """
        return self._patiently("rw", "BEGIN", work)

    def _patiently(self, mode: Literal["rw", "rwc"], begin: str, work: Work[T]) -> T:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._once(mode, begin, work)
            except sqlite3.Error as error:
                code = _code(error)
                if code not in _BUSY or time.monotonic() > end:
                    reason = _REASONS.get(code, str(error))
                    raise RecordsError(f"{self.path} holds no study's record: {reason}") from error
                time.sleep(0.01)

    def _once(self, mode: str, begin: str, work: Work[T]) -> T:
        uri = f"{self.path.as_uri()}?mode={mode}"
        with closing(
            sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        ) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute(begin)
            # A connection that is closed within a transaction undoes it.
            result = work(connection)
            connection.execute("COMMIT")
            return result


def database_at(url: str) -> Database:
    """Return the file of a ``sqlite:///FILE`` URL.

    Raises:
        UserError: the URL is of another kind, or names no file. It may hold a password and is
            not repeated.
    """
    kind, separator, rest = url.partition("://")
    if not separator or kind not in _KINDS:
        told = f" not at a {kind!r} URL" if re.fullmatch(r"[a-z0-9+]+", kind) and separator else ""
        raise UserError(
            f"tuners 'grid' and 'random' keep their records in a SQLite file, "
            f"storage sqlite:///FILE,{told or ' and at no other URL'}"
        )
    file = rest.removeprefix("/")
    if rest == file or file in ("", ":memory:") or "?" in file:
        raise UserError("storage sqlite:///FILE must name a file, and nothing after it")
    return Database(Path(file).absolute())


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary error code; 0 where Python found the error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
