"""Time limit and silence for calls to MLflow.

MLflow retries for minutes over HTTP, and for an hour if a database does not answer. A missing
server must not delay a run, and MLflow's log must not mix with the run's output.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOGGERS = ("mlflow", "alembic")


def within(seconds: float, work: Callable[[], object]) -> None:
    """Run ``work`` in a thread, and wait at most ``seconds`` for it.

    Raises:
        TimeoutError: the work is not done; its thread continues, and ends with the process.
        Exception: the exception that the work raised.
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
