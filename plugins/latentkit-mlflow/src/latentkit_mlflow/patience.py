"""A server that is gone must not hold a run up, nor MLflow's log come between its lines.

MLflow tries again for minutes over HTTP, and for an hour where a database does not answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOGGERS = ("mlflow", "alembic")


def within(seconds: float, work: Callable[[], object]) -> None:
    """Do work in a thread, and wait no longer than ``seconds`` for it.

    Raises:
        TimeoutError: it is not done; the thread is left to itself, and ends with the process.
        Exception: whatever the work raised.
    """
    raised: list[BaseException] = []

    def quietly() -> None:
        try:
            with _quiet():
                work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=quietly, name="latentkit-mlflow", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if raised:
        raise raised[0]


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
