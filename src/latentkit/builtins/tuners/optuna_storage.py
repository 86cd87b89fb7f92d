"""The storage of a study: Optuna's, in any database that SQLAlchemy supports.

Calls wait for a database that does not answer for a while. Messages never show a password.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from latentkit.errors import BrokenEnvironmentError, StorageError, UserError

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
_PACKAGES = {"psycopg": "latentkit[postgresql]", "psycopg2": "psycopg2-binary"}


class Storage:
    """A database that holds studies, with calls that wait while it does not answer.

    ``lost_at`` is the time of the last call that got no answer, on the monotonic clock.

    Args:
        url: SQLAlchemy URL.
        patience: seconds that a call waits for an answer.

    Raises:
        UserError: the URL is invalid, or SQLAlchemy does not know the kind of database.
        BrokenEnvironmentError: the database's driver is not installed.
        StorageError: the database cannot be reached.
    """

    def __init__(self, url: str, patience: float) -> None:
        self.lost_at = -math.inf
        self._url = _parse(url)
        self._patience = patience
        self.engine = self._connect()

    @staticmethod
    def exists(url: str) -> bool:
        """Return whether there may be studies: False only for SQLite without an existing file."""
        parsed = _parse(url)
        if parsed.get_backend_name() != "sqlite":
            return True
        return bool(parsed.database) and Path(str(parsed.database)).is_file()

    def __str__(self) -> str:
        shown = self._url
        for name in shown.query:
            if "password" in name.lower():
                shown = shown.update_query_dict({name: "..."})
        return shown.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        self.engine.remove_session()
        self.engine.engine.dispose()

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
                reason = _reason(error)
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
        """
        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            raise self._lost(_reason(error)) from error

    def _connect(self) -> optuna.storages.RDBStorage:
        """Connect to the database.

        Workers that create its tables at the same moment cause errors for each other, so this
        tries again after such an error.
        """
        for pause in _PAUSES_AT_START:
            try:
                return self._connect_once()
            except (StorageInternalError, SQLAlchemyError) as error:
                if not any(text in _reason(error).lower() for text in _CROWDED):
                    raise self._lost(_reason(error)) from error
            time.sleep(pause)
        raise self._lost("other workers keep it busy")

    def _connect_once(self) -> optuna.storages.RDBStorage:
        engine: dict[str, object] = {"pool_pre_ping": True}
        if self._url.get_backend_name() == "sqlite":
            engine["connect_args"] = {"timeout": _SQLITE_LOCK_SECONDS}
        text = self._url.render_as_string(hide_password=False)
        try:
            return optuna.storages.RDBStorage(text, engine_kwargs=engine)
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

    def _lost(self, reason: str) -> StorageError:
        return StorageError(f"the study's storage {self} cannot be used: {reason}")


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: the port is not a number
        raise UserError(
            "the storage is not a URL that SQLAlchemy can read: write one such as "
            "sqlite:///study.db or postgresql+psycopg://USER@HOST/DATABASE"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of the database's own error message."""
    origin = error
    while origin.__cause__ is not None:
        origin = origin.__cause__
    lines = str(getattr(origin, "orig", None) or origin).strip().splitlines()
    return lines[0] if lines else type(origin).__name__
