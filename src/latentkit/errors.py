"""The exceptions whose messages users read, with the exit code that each gives to a command.

A message says in one line what is wrong, where, and what to do about it. A subclass exists only
if a script may need to distinguish its case by exit code, or if latentkit itself handles its case.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class LatentkitError(Exception):
    """Base of all errors that latentkit explains to the user.

    Any other exception that reaches the user is a bug in latentkit (exit code 1).
    """

    exit_code: ClassVar[int] = 1


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


INTERRUPTED_EXIT_CODE = 130
"""Exit code of a command that is interrupted with Ctrl-C or SIGTERM (128 + SIGINT)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known name, or the empty string."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    near = near or [known_name for known_name in names if name and known_name.startswith(name)]
    return f" (did you mean {near[0]!r}?)" if near else ""


def describe_os_error(error: OSError) -> str:
    """Return the operating system's message without the errno and the path."""
    return error.strerror or type(error).__name__


def describe_error(error: Exception) -> str:
    """Return an error in one line, preceded by its type unless it is a `LatentkitError`."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LatentkitError) else f"{type(error).__name__}: {text}"
