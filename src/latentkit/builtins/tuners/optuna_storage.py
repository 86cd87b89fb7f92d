"""The storage of a study: Optuna's, over any database that SQLAlchemy knows.

A database that goes away in the middle is waited for, and no password is ever printed.
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
_HOPELESS = (
    "disk is full",
    "readonly database",
    "unable to open database",
    "not a database",
    "no space left",
    "permission denied",
    "authentication failed",
)
_CROWDED = ("unique", "duplicate", "already exists", "locked")
_PAUSES_AT_START = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_SQLITE_LOCK_SECONDS = 60.0
_PACKAGES = {"psycopg": "latentkit[postgresql]", "psycopg2": "psycopg2-binary"}


class Storage:
    """A database, and how long it is waited for.

    ``lost_at`` is when it last did not answer, on the monotonic clock.

    Args:
        url: SQLAlchemy's.
        patience: seconds.

    Raises:
        UserError: the URL is none.
        BrokenEnvironmentError: the database's driver is not installed.
        StorageError: it cannot be reached.
    """

    def __init__(self, url: str, patience: float) -> None:
        self.lost_at = -math.inf
        self._url = _parse(url)
        self._patience = patience
        self.engine = self._connect()

    @staticmethod
    def exists(url: str) -> bool:
        """Return whether there may be studies: whether the file is there, where it is one."""
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
        """Let go of all connections."""
        self.engine.remove_session()
        self.engine.engine.dispose()

    def patiently(self, call: Callable[[], T]) -> T:
        """Call, and call again while the database does not answer, at longer and longer pauses.

        Raises:
            StorageError: it has not answered for as long as patience goes, or it never will.
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
        """Say of a database that does not answer that it cannot be used.

        Raises:
            StorageError: it did not answer.
        """
        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            raise self._lost(_reason(error)) from error

    def _connect(self) -> optuna.storages.RDBStorage:
        """Reach the database; workers that make its tables at one moment get in each other's way.

        The one whose turn it was not tries again.
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
            raise UserError(f"storage {self} is of a kind that SQLAlchemy does not know") from error
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
    except (ArgumentError, ValueError) as error:  # ValueError: the port is no number
        raise UserError(
            "the storage is no URL of SQLAlchemy: write one such as sqlite:///study.db or "
            "postgresql+psycopg://USER@HOST/DATABASE"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of what the database itself said."""
    origin = error
    while origin.__cause__ is not None:
        origin = origin.__cause__
    lines = str(getattr(origin, "orig", None) or origin).strip().splitlines()
    return lines[0] if lines else type(origin).__name__
