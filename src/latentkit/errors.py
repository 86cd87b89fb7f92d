"""Every exception whose text a user may read, and the exit code each one ends a command with.

A message says in one line what is wrong, where, and what to do about it. A subclass exists only
where a script would want to tell the cases apart by exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class LatentkitError(Exception):
    """Base of all errors that latentkit explains to its user.

    Anything else that escapes is a bug of latentkit (exit code 1).
    """

    exit_code: ClassVar[int] = 1


class UserError(LatentkitError):
    """The request cannot be carried out as written: an unknown name, a value out of range."""

    exit_code = 2


class BrokenEnvironmentError(LatentkitError):
    """A needed package is missing or does not fit the others, or a device is not there."""

    exit_code = 3


class DataError(LatentkitError):
    """A data file is missing, damaged or not what it claims to be."""

    exit_code = 4


class StorageError(LatentkitError):
    """A folder cannot be written: no permission, or the disk is full."""

    exit_code = 5


class NetworkError(LatentkitError):
    """A download did not succeed."""

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
    """The work would need more memory than there is."""

    exit_code = 10


class DivergedError(LatentkitError):
    """Training produced NaN or infinite values."""

    exit_code = 11


class StudyError(LatentkitError):
    """A study cannot go on: trial after trial fails."""

    exit_code = 12


INTERRUPTED_EXIT_CODE = 130
"""What a command interrupted with Ctrl-C or SIGTERM exits with (128 + SIGINT)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known name, or the empty string."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    near = near or [known_name for known_name in names if name and known_name.startswith(name)]
    return f" (did you mean {near[0]!r}?)" if near else ""


def describe_os_error(error: OSError) -> str:
    """Return what the operating system said, without the errno and the path."""
    return error.strerror or type(error).__name__


def describe_error(error: Exception) -> str:
    """Return an error in one line, with its type where latentkit does not explain it."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LatentkitError) else f"{type(error).__name__}: {text}"
