"""The exceptions whose messages users read, with the exit code that each gives to a command.

A message says in one line what is wrong, where, and what to do about it. A subclass exists only
if a script may need to distinguish its case by exit code, or if latentkit itself handles its case.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

from latentkit.terminal import printable


class _HasPath(Protocol):
    @property
    def path(self) -> Path: ...


_InFiles = TypeVar("_InFiles", bound=_HasPath)
_T = TypeVar("_T")
_P = ParamSpec("_P")


class LatentkitError(Exception):
    """Base of all errors that latentkit explains to the user.

    Any other exception that reaches the user, and that `explained` does not know, is a bug in
    latentkit (exit code 1).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        # The interpreter prints the error that this one explains, too, which may quote a file.
        cause = sys.exception()
        if cause is not None and not isinstance(cause, LatentkitError):
            with suppress(Exception):  # an exception of another package may allow no change
                cause.args = tuple(
                    printable(one) if isinstance(one, str) else one for one in cause.args
                )

    def __str__(self) -> str:
        """Return the message; names in it may come from a stranger's file."""
        return printable(super().__str__())


class UserError(LatentkitError):
    """The request cannot be carried out: for example, an unknown name or a value out of range."""

    exit_code = 2


class RunExistsError(UserError):
    """A new run cannot be created, because its folder already contains a run."""


class BrokenEnvironmentError(LatentkitError):
    """A required package is missing or incompatible, or a device is not available."""

    exit_code = 3


class DataError(LatentkitError):
    """A data file is missing, damaged, or has unexpected content."""

    exit_code = 4


class StorageError(LatentkitError):
    """A folder cannot be written: no permission, or the disk is full."""

    exit_code = 5


class NetworkError(LatentkitError):
    """A download failed."""

    exit_code = 6


class LockedError(LatentkitError):
    """Another process is writing the same run."""

    exit_code = 7


class IntegrityError(LatentkitError):
    """A committed file is missing or differs from what was committed."""

    exit_code = 8


class PluginError(LatentkitError):
    """A plugin is broken, incompatible or breaks its contract."""

    exit_code = 9


class ResourceError(LatentkitError):
    """The work would need more memory than is available."""

    exit_code = 10


class DivergedError(LatentkitError):
    """Training produced NaN or infinite values."""

    exit_code = 11


class StudyError(LatentkitError):
    """A study cannot continue, because its trials or its workers keep failing."""

    exit_code = 12


class ProcessError(LatentkitError):
    """One of the processes that share a run was killed, or does not answer."""

    exit_code = 13


INTERRUPTED_EXIT_CODE = 130
"""Exit code of a command that Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP interrupts (128 + SIGINT)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known name, or the empty string."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    near = near or [known_name for known_name in names if name and known_name.startswith(name)]
    return f" (did you mean {near[0]!r}?)" if near else ""


def describe_os_error(error: OSError) -> str:
    """Return the operating system's message without the errno and the path."""
    return error.strerror or type(error).__name__


def describe_error(error: BaseException) -> str:
    """Return an error in one line, preceded by its type unless it is a `LatentkitError`."""
    if isinstance(error, MemoryError):
        return "it ran out of memory"
    text = " ".join(str(error).split())
    name = type(error).__name__
    if isinstance(error, LatentkitError):
        return text
    return f"{name}: {text}" if text else name


_MEMORY = re.compile(
    "out of memory|not enough memory|allocate memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE
)
_LIBRARY = re.compile(
    "shared object|failed to map segment|image not found|DLL load failed|Library not loaded"
)
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_WRONG_PATH = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EEXIST,
    errno.EINVAL,
}
_OF_NETWORK = ("gaierror", "URLError", "HTTPError", "SSLError")  # not imported, which takes time


def machine_error(error: BaseException) -> LatentkitError | None:
    """Return what an exception means if memory, disk space or a library of the machine is missing.

    Any code may raise such an exception, a plugin's too, and none is to blame for it.

    Returns:
        The error to raise in its place, or None if the exception means something else.
    """
    text = _shortened(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _MEMORY.search(text)):
        return ResourceError(
            f"not enough memory{f' ({text})' if text else ''}: use smaller batches, a smaller "
            f"model or fewer images, or end other programs"
        )
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return ResourceError("the system allows no more threads: raise the limit 'ulimit -u'")
    if isinstance(error, ImportError | OSError) and _LIBRARY.search(text):
        return BrokenEnvironmentError(
            f"a shared library cannot be loaded ({text}): 'latentkit doctor' says which package "
            f"to install again; a limit of memory ('ulimit -v') may be the cause, too"
        )
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENOMEM:
        return ResourceError("the system has no more memory: end other programs")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return ResourceError("too many files are open: raise the limit 'ulimit -n'")
    if error.errno in _FULL:
        return StorageError(f"the disk is full{_place(error, ': ')}: make room, and try again")
    return None


def explained(error: BaseException) -> LatentkitError | None:
    """Return what an exception means if its cause is outside latentkit: files, names, packages.

    Returns:
        The error to raise in its place; None for a `LatentkitError`, and for what may be a bug.
    """
    if isinstance(error, LatentkitError):
        return None
    if found := machine_error(error):
        return found
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, UnicodeEncodeError):
        return UserError("a name or path has bytes that are not text: use another name")
    if isinstance(error, UnicodeDecodeError):
        return DataError(
            f"a file is not {error.encoding.upper()} text (byte {error.start}): save it as UTF-8"
        )
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return UserError("a name or path has a NUL character: leave it out")
    if isinstance(error, ImportError) and not (error.name or "").startswith("latentkit"):
        return BrokenEnvironmentError(
            f"a package is missing or does not fit ({_shortened(error)}): 'latentkit doctor' says "
            f"which one to install again"
        )
    return None


def _of_system(error: OSError) -> LatentkitError:
    """Return what an error of the operating system means that has no more specific handler."""
    text = describe_os_error(error) if error.errno else _shortened(error)
    at = _place(error, "")
    if isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in _OF_NETWORK:
        return NetworkError(f"the connection failed: {text}; try again")
    if error.errno in _WRONG_PATH:
        if not at:
            return UserError(f"{text}: does the current folder still exist?")
        return UserError(f"{at}: {text}: give another path or name")
    if error.errno in _REFUSED:
        return StorageError(f"{at or 'a file'}: {text}: change its permissions, or choose another")
    if not error.errno:  # a library's own error, such as that of an image that it cannot read
        return DataError(f"a file cannot be read: {text}")
    return StorageError(f"{at or 'a file'} cannot be read or written: {text}")


def _place(error: OSError, before: str) -> str:
    name = error.filename
    return before + os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else ""


def _shortened(error: BaseException, text: str = "") -> str:
    return textwrap.shorten(text or str(error), 200, placeholder=" ...")


_OF_CONTENT = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


@contextmanager
def unexpected_content(*places: str | os.PathLike[str]) -> Iterator[None]:
    """Blame files for what goes wrong while their content is turned into what is shown.

    A file from somebody else may have the recorded hash and any JSON in it. Wrap no code that
    computes: its bugs would be said to be damage.

    Args:
        *places: the folders or files that are read.

    Raises:
        IntegrityError: the content has another structure; names the places.
    """
    try:
        yield
    except LatentkitError:
        raise
    except _OF_CONTENT as error:
        where = " or ".join(os.fspath(place) for place in places)
        raise IntegrityError(
            f"{where}: its content has an unexpected structure "
            f"({_shortened(error, describe_error(error))}): get another copy, or make it again"
        ) from error


def in_files(
    method: Callable[Concatenate[_InFiles, _P], _T],
) -> Callable[Concatenate[_InFiles, _P], _T]:
    """Let a method blame the files at its object's ``path``, as `unexpected_content` does."""

    @wraps(method)
    def guarded(one: _InFiles, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with unexpected_content(one.path):
            return method(one, *args, **kwargs)

    return guarded


@contextmanager
def leaving_out(record: Callable[[str], object]) -> Iterator[None]:
    """Go on without an optional part of a result if making it fails.

    Errors that are not about this part pass: an interrupt, a full disk, a changed or locked file, a
    process that is gone.

    Args:
        record: receives the reason in one line. Code of a plugin may raise anything, also
            SystemExit.
    """
    try:
        yield
    except (StorageError, IntegrityError, LockedError, ProcessError):
        raise
    except (Exception, SystemExit) as error:
        record(describe_error(error))
