"""The standard streams of a command: open, able to take any character, and no reason to die.

Progress that nobody can read any more must not end a run that takes hours, so what cannot be
written to stderr is dropped. The result goes to stdout: if it cannot be written, that is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from latentkit.errors import StorageError, describe_os_error


class ReaderGoneError(Exception):
    """The program that reads stdout has ended, as ``head`` does."""


class _Stream:
    """A stream that handles the faults of another one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            self._fail(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines, which have their own ends."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is still in memory."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: OSError | ValueError) -> None:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Result(_Stream):
    """The stdout of a command; raises errors that `run_guarded` explains."""

    def _fail(self, error: OSError | ValueError) -> None:
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from error
        why = describe_os_error(error) if isinstance(error, OSError) else str(error)
        raise StorageError(f"cannot write to the standard output: {why}") from error


class _Messages(_Stream):
    """A stderr that drops what it cannot write."""

    def _fail(self, error: OSError | ValueError) -> None:
        pass


def messages(stream: TextIO | None) -> TextIO:
    """Return a stream for progress and warnings; what ``stream`` cannot take is dropped."""
    return cast("TextIO", _Messages(_devnull() if stream is None else stream))


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let stdout and stderr take any text until the block ends.

    Characters that their encoding lacks are written as ``\\xb1`` and such.
    """  # noqa: D301  # the backslash is shown as it is
    _open_closed()
    before = sys.stdout, sys.stderr
    taken: tuple[TextIO, TextIO] = (sys.stdout or _devnull(), sys.stderr or _devnull())
    for stream in taken:
        if getattr(stream, "errors", "") in ("strict", "surrogateescape"):
            with suppress(AttributeError, OSError, ValueError):
                cast("Any", stream).reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = cast("TextIO", _Result(taken[0])), messages(taken[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in taken:
            _give_up_rest(stream)


def _open_closed() -> None:
    """Open closed standard streams, because the next file would get their number.

    What a library prints would then be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)


def _devnull() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # open until the end


def _give_up_rest(stream: TextIO) -> None:
    """Drop what a stream cannot write, or Python would report it when it exits."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
            stream.flush()
