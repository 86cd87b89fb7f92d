"""Access to the SQLite file of a storage URL; concurrent transactions wait for each other."""

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
    sqlite3.SQLITE_NOTADB: "it is not an SQLite file",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
}
# SQLite ignores signals while it waits, so wait repeatedly for a short time to react to Ctrl-C.
_WAIT_SECONDS = 0.5
_PATIENCE_SECONDS = 600.0


class RecordsError(StorageError):
    """The study's file cannot be read or written; this is not an error of a trial."""


class Database:
    """An SQLite file. Each transaction has its own connection, so any thread may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, work: Work[T]) -> T:
        """Run ``work`` in a write transaction, which locks the file, and return its result.

        Raises:
            RecordsError: the file cannot be written, or is locked for ten minutes.
        """
        return self._patiently("rwc", "BEGIN IMMEDIATE", work)

    def read(self, work: Work[T]) -> T:
        """Run ``work`` in a read transaction, which sees one state, and return its result.

        The file is opened read-only, unless a killed process left a journal, from which SQLite
        must restore it.

        Raises:
            RecordsError: the file does not exist, cannot be read, or is locked for ten minutes.
        """
        journal = self.path.with_name(f"{self.path.name}-journal")
        return self._patiently("rw" if journal.exists() else "ro", "BEGIN", work)

    def _patiently(self, mode: Literal["ro", "rw", "rwc"], begin: str, work: Work[T]) -> T:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._once(mode, begin, work)
            except sqlite3.Error as error:
                code = _code(error)
                if code not in _BUSY or time.monotonic() > end:
                    reason = _REASONS.get(code, str(error))
                    raise RecordsError(f"cannot use the study in {self.path}: {reason}") from error
                time.sleep(0.01)

    def _once(self, mode: str, begin: str, work: Work[T]) -> T:
        uri = f"{self.path.as_uri()}?mode={mode}"
        with closing(
            sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        ) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA trusted_schema=OFF")  # the file may come from a stranger
            connection.execute(begin)
            # If ``work`` raises, closing the connection rolls the transaction back.
            result = work(connection)
            connection.execute("COMMIT")
            return result


def database_at(url: str) -> Database:
    """Return the file of a ``sqlite:///FILE`` URL.

    Raises:
        UserError: the URL is of another kind, or names no file. The message does not quote it,
            because it may contain a password.
    """
    kind, separator, rest = url.partition("://")
    if not separator or kind not in _KINDS:
        told = f", not {kind!r}" if re.fullmatch(r"[a-z0-9+]+", kind) and separator else ""
        raise UserError(
            f"tuners 'grid' and 'random' store studies only in an SQLite file{told}: "
            f"use the storage sqlite:///FILE"
        )
    file = rest.removeprefix("/")
    if rest == file or file in ("", ":memory:") or "?" in file:
        raise UserError("storage sqlite:///FILE must name a file and have no '?' after it")
    return Database(Path(file).absolute())


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary error code, or 0 if the error is from Python."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
