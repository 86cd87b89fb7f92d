"""Atomic writes: a file is either complete or not there.

A file is written under a temporary name in the same folder, flushed to the disk and renamed.
Readers, and a run that is killed at any moment, therefore find either the old or the new content.

On Linux and macOS this also holds after a power failure, because the folder is flushed too. Windows
cannot open a folder, so there a power failure may bring back the old content; this is not tested.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from latentkit.errors import StorageError, describe_os_error

TEMPORARY_PREFIX = ".writing-"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomically(path: Path, write: Callable[[Path], None], root: Path | None = None) -> None:
    """Let ``write`` fill a temporary file, then rename that file to ``path``.

    Args:
        path: the file; folders that lead to it are created.
        write: fills the temporary file whose path it receives.
        root: folder that is never created, so that it stays deleted if somebody deleted it.

    Raises:
        StorageError: the folder cannot be written or the disk is full. ``path`` is unchanged,
            unless only the folder could not be flushed: then ``path`` has the new content.
    """
    temporary: Path | None = None
    try:
        if root is not None and not root.is_dir():
            raise StorageError(f"{root} was deleted while it was written: nothing is saved there")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _create_beside(path)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        write(temporary)
        temporary.chmod(mode)  # ``write`` may have put another file there, as safetensors does
        _flush(temporary)
        temporary.replace(path)
        temporary = None
        _flush_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # the error that is raised says more; a later writer cleans up
                temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, root: Path | None = None) -> None:
    """Write ``content`` to ``path`` with `write_atomically`."""
    write_atomically(path, lambda temporary: _write_all(temporary, content), root)


def write_json(path: Path, document: Any, root: Path | None = None) -> None:
    """Write a strict JSON document (no NaN), indented, to ``path`` with `write_atomically`."""
    write_bytes(path, json_bytes(document), root)


def json_bytes(document: Any) -> bytes:
    """Return a strict JSON document (no NaN), indented, as UTF-8."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    # A file name that is no text has surrogates, for which this writes the escapes of JSON.
    return f"{text}\n".encode(errors="backslashreplace")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return an error that says what the operating system refused, and what to do."""
    if error.errno in _FULL:
        return StorageError(
            f"the disk is full: {path} was not written; make room and try again: committed files "
            f"are not lost"
        )
    return StorageError(
        f"cannot write {path}: {describe_os_error(error)}; choose another folder, or change its "
        f"permissions"
    )


def _write_all(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _create_beside(path: Path) -> Path:
    """Create an empty temporary file in the folder of ``path``, with a new file's permissions.

    `tempfile.mkstemp` is not used because only the owner may read its files. To give them other
    permissions, one must know the umask, which cannot be read without changing it for all threads.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{path.suffix}"
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def _flush(path: Path) -> None:
    _flush_opened(os.open(path, os.O_RDWR))  # Windows flushes only what is open for writing


def _flush_folder(path: Path) -> None:
    if sys.platform != "win32":
        _flush_opened(os.open(path, os.O_RDONLY))


def _flush_opened(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
