"""A lock that one process holds at a time; readers check whether it is held."""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from latentkit.atomic import storage_error, write_json
from latentkit.errors import IntegrityError, LockedError
from latentkit.reading import parse_json, read_inside

if sys.platform != "win32":
    import fcntl

_LOOK = 0.02
"""Seconds for which a reader without `fcntl` tries to take the lock; other readers hold it briefly.
"""
_LONGER_THAN_LOOKS = 1.0
"""Seconds after which a writer concludes that another writer, not a reader, holds the lock."""

_MOST_NAMED = 2**16  # bytes of the file that names a process


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock; the operating system releases it when the process dies.

    A file beside the lock names the process that holds it, because a lock's own file is only
    written by `filelock`.

    Args:
        path: the lock's file; created if it is missing.
        what: what the lock protects, for the error.

    Raises:
        LockedError: another process, or another part of this one, holds the lock.
        StorageError: the folder cannot be written.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=_LONGER_THAN_LOOKS, poll_interval=0.01)
    except filelock.Timeout:
        holder = _holder(path)
        raise LockedError(
            f"{what} is being written by process {holder.get('pid', '?')} on "
            f"{holder.get('host', '?')}: wait for it, or stop it"
        ) from None
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        write_json(_beside(path), this_process(), path.parent)
        yield
    finally:
        with suppress(OSError):
            _beside(path).unlink(missing_ok=True)
        lock.release()


def this_process() -> dict[str, Any]:
    """Return what identifies this process to a user: ``pid`` and ``host``."""
    return {"pid": os.getpid(), "host": platform.node()}


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _holder(path: Path) -> Mapping[str, Any]:
    """Return the process that holds a lock; empty if it has not written its name yet."""
    try:
        holder = parse_json(read_inside(path.parent, _beside(path).name, _MOST_NAMED), path)
    except (OSError, IntegrityError):
        return {}
    return holder if isinstance(holder, Mapping) else {}


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock now; False if its file cannot be read."""
    if sys.platform != "win32":
        # Shared locks do not exclude each other, so two readers never take each other for a
        # writer, and they need no permission to write.
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return True
        finally:
            os.close(handle)
    # Windows and file systems without `flock`: try to take the lock as a writer does.
    if not path.exists():
        return False
    try:
        with filelock.FileLock(path).acquire(_LOOK, poll_interval=0.005):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False
