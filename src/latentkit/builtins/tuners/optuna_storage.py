"""The storage of a study: Optuna's, in any database that SQLAlchemy supports.

Calls wait for a database that does not answer for a while. Messages never show a password.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from latentkit.errors import (
    BrokenEnvironmentError,
    IntegrityError,
    LatentkitError,
    StorageError,
    UserError,
    describe_error,
    describe_os_error,
)
from latentkit.plugin import public_url, without_secrets

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
# Parts of error messages that waiting does not cure.
_HOPELESS = (
    "disk is full",
    "readonly database",
    "unable to open database",
    "not a database",
    "no space left",
    "permission denied",
    "authentication failed",
)
# Parts of error messages when several workers create the tables at the same moment.
_CROWDED = ("unique", "duplicate", "already exists", "locked")
_PAUSES_AT_START = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_SQLITE_LOCK_SECONDS = 60.0
_TABLES = ("studies", "trials", "version_info", "alembic_version")
# Optuna writes a row to each before any study.
_VERSIONS = ("SELECT 1 FROM version_info", "SELECT 1 FROM alembic_version")
_OF_OPTUNA = ("stud", "trial", "version_info", "alembic_version")  # how names of tables begin
_WAL_MODE_AT = 18  # the byte of an SQLite file that is 2 if it has a write-ahead log
_PACKAGES = {"psycopg": "latentkit[postgresql]", "psycopg2": "psycopg2-binary"}


class Storage:
    """A database that holds studies, with calls that wait while it does not answer.

    ``lost_at`` is the time of the last call that got no answer, on the monotonic clock.

    Args:
        url: SQLAlchemy URL.
        patience: seconds that a call waits for an answer.
        reading: whether nothing is written: no tables are made, and an SQLite file is opened
            read-only.

    Raises:
        UserError: the URL is invalid, or SQLAlchemy does not know the kind of database.
        BrokenEnvironmentError: the database's driver is not installed.
        StorageError: the database cannot be reached.
        IntegrityError: an SQLite file that is read is damaged.
    """

    def __init__(self, url: str, patience: float, *, reading: bool = False) -> None:
        self.lost_at = -math.inf
        self._url = _parse(url)
        self._patience = patience
        self._reading = reading
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._opened = self._readable() if reading else self._url
        self.engine = self._connect()

    @staticmethod
    def exists(url: str) -> bool:
        """Return whether there may be studies: False only for SQLite without an existing file."""
        file = _file_of(_parse(url))
        return file is None or file.is_file()

    def __str__(self) -> str:
        return public_url(self._url.render_as_string(hide_password=False))

    def close(self) -> None:
        """Close all connections."""
        self.engine.remove_session()
        self.engine.engine.dispose()
        if self._copy is not None:
            self._copy.cleanup()

    def patiently(self, call: Callable[[], T]) -> T:
        """Return the result of ``call``, repeated at growing pauses until the database answers.

        Raises:
            StorageError: the database did not answer for ``patience`` seconds, or its error is
                one that waiting does not cure.
        """
        end = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return call()
            except (StorageInternalError, SQLAlchemyError) as error:
                self.lost_at = time.monotonic()
                reason = self._reason(error)
                hopeless = any(text in reason.lower() for text in _HOPELESS)
                if hopeless or time.monotonic() + pause > end:
                    raise self._lost(reason) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn database errors in the block into a `StorageError`.

        Raises:
            StorageError: the database did not answer.
            IntegrityError: its content cannot be understood.
        """
        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            raise self._lost(self._reason(error)) from error
        except LatentkitError:
            raise
        except Exception as error:
            reason = without_secrets(describe_error(error), str(self._url))
            raise IntegrityError(f"the study's storage {self} is damaged: {reason}") from error

    def _connect(self) -> optuna.storages.RDBStorage:
        """Connect to the database.

        Workers that create its tables at the same moment cause errors for each other, so this
        tries again after such an error.
        """
        for pause in _PAUSES_AT_START:
            try:
                return self._connect_once()
            except (StorageInternalError, SQLAlchemyError) as error:
                if not any(text in self._reason(error).lower() for text in _CROWDED):
                    raise self._lost(self._reason(error)) from error
            time.sleep(pause)
        raise self._lost("other workers keep it busy")

    def _connect_once(self) -> optuna.storages.RDBStorage:
        options: dict[str, object] = {"pool_pre_ping": True}
        if self._url.get_backend_name() == "sqlite":
            options["connect_args"] = {"timeout": _SQLITE_LOCK_SECONDS, "factory": _Connection}
        text = self._opened.render_as_string(hide_password=False)
        text = text.replace("{", "{{").replace("}", "}}")  # Optuna takes it as a format
        try:
            if self._reading:
                self._check_tables(options)
            return optuna.storages.RDBStorage(
                text, engine_kwargs=options, skip_table_creation=self._reading
            )
        except NoSuchModuleError as error:
            raise UserError(
                f"storage {self}: SQLAlchemy does not know this kind of database: write for "
                f"example sqlite:///study.db"
            ) from error
        except ImportError as error:
            missing = error.name or self._url.get_driver_name()
            raise BrokenEnvironmentError(
                f"storage {self} needs {missing}, which is not installed: run 'pip install "
                f"{_PACKAGES.get(missing, missing)}'"
            ) from error
        except (TypeError, ValueError) as error:  # an option that the driver does not know
            raise UserError(f"storage {self} has a wrong option: {self._reason(error)}") from error
        except RuntimeError as error:  # another version of Optuna made the tables
            raise self._lost(self._reason(error)) from error

    def _check_tables(self, options: dict[str, object]) -> None:
        """Refuse to read a database that holds no complete set of Optuna's tables.

        Optuna would make what is missing.

        Raises:
            NothingStored: a table or a version is missing.
        """
        engine = sqlalchemy.create_engine(self._opened, **options)
        try:
            if not set(_TABLES) <= set(sqlalchemy.inspect(engine).get_table_names()):
                raise NothingStored
            with engine.connect() as connection:
                for query in _VERSIONS:
                    if connection.execute(sqlalchemy.text(query)).first() is None:
                        raise NothingStored
        finally:
            engine.dispose()

    def _readable(self) -> URL:
        """Return the URL under which the database can be read without writing to its folder.

        If a killed process left a journal, SQLite would write to the file to restore it, so a
        temporary copy is restored and read. Without a journal, a file in a folder that cannot be
        written is opened as one that never changes.
        """
        file = _file_of(self._url)
        if file is None:
            return self._url
        address = self._url.set(database=f"{file.absolute().as_uri().replace('file://', 'file:')}")
        read_only = address.update_query_dict({"mode": "ro", "uri": "true"})
        try:
            if not _has_log(file):
                try:
                    _check_file(file, "mode=ro")
                    return read_only
                except sqlite3.OperationalError as error:
                    if not _wants_to_write(error):
                        raise
                if not _has_journal(file):
                    _check_file(file, "mode=ro&immutable=1")
                    return read_only.update_query_dict({"immutable": "1"})
            self._copy = tempfile.TemporaryDirectory(prefix="latentkit-")
            copy = Path(self._copy.name) / "study.db"
            for suffix in ("", "-journal", "-wal"):
                if file.with_name(f"{file.name}{suffix}").is_file():
                    shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
            _check_file(copy, "mode=rw")
            return self._url.set(database=str(copy), query={})
        except sqlite3.OperationalError as error:
            raise self._lost(self._reason(error)) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{file} is damaged: {self._reason(error)}") from error
        except OSError as error:
            raise self._lost(describe_os_error(error)) from error

    def _lost(self, reason: str) -> StorageError:
        return StorageError(f"the study's storage {self} cannot be used: {reason}")

    def _reason(self, error: BaseException) -> str:
        """Return the first line of the database's own error message, without secrets."""
        return without_secrets(_reason(error), self._url.render_as_string(hide_password=False))


class NothingStored(Exception):  # noqa: N818
    """A database that is only read holds no studies."""


class _Connection(sqlite3.Connection):
    """A connection on which a schema, which may come from a stranger, calls no risky functions."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.execute("PRAGMA trusted_schema=OFF").close()


def _file_of(url: URL) -> Path | None:
    """Return the file of an SQLite URL; None for any other database."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    if url.database == ":memory:" or url.database.startswith("file:"):
        return None
    return Path(url.database)


def _check_file(file: Path, how: str) -> None:
    """Read an SQLite file, and check its structure.

    Raises:
        sqlite3.OperationalError: it cannot be opened so.
        sqlite3.DatabaseError: it is damaged.
    """
    address = f"{file.absolute().as_uri()}?{how}"
    with closing(
        sqlite3.connect(address, uri=True, timeout=_SQLITE_LOCK_SECONDS, factory=_Connection)
    ) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        made = schema.fetchall()
    if found != ("ok",):
        raise sqlite3.DatabaseError(" ".join(str(found[0]).split()))
    for kind, name, table, sql in made:
        executes = kind in ("view", "trigger") or str(sql).upper().startswith("CREATE VIRTUAL")
        if executes and any(str(one).lower().startswith(_OF_OPTUNA) for one in (name, table)):
            raise sqlite3.DatabaseError(f"its {kind} {name} would execute code")


def _has_log(file: Path) -> bool:
    with file.open("rb") as opened:
        opened.seek(_WAL_MODE_AT)
        return opened.read(1) == b"\x02"


def _has_journal(file: Path) -> bool:
    path = file.with_name(f"{file.name}-journal")
    return path.is_file() and path.stat().st_size > 0


def _wants_to_write(error: sqlite3.OperationalError) -> bool:
    codes = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise UserError(
            "the storage is not a URL that SQLAlchemy can read: write one such as "
            "sqlite:///study.db or postgresql+psycopg://USER@HOST/DATABASE"
        ) from None  # their messages quote parts of the URL, which may be a password


def _reason(error: BaseException) -> str:
    """Return the first line of the database's own error message."""
    origin = error
    while origin.__cause__ is not None:
        origin = origin.__cause__
    lines = str(getattr(origin, "orig", None) or origin).strip().splitlines()
    return lines[0] if lines else type(origin).__name__
