"""Atomic writes: a file is either complete or not there.

A file is written under a temporary name in the same folder, flushed to the disk and renamed.
Readers, and a run that is killed at any moment, therefore find either the old or the new content.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentkit.errors import StorageError, describe_os_error

TEMPORARY_PREFIX = ".writing-"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then rename that file to ``path``.

    Raises:
        StorageError: the folder cannot be written or the disk is full. ``path`` is unchanged.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=TEMPORARY_PREFIX, suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        _flush(temporary)
        temporary.replace(path)
        temporary = None
        _flush(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` with `write_atomically`."""
    write_atomically(path, lambda temporary: _write_all(temporary, content))


def write_json(path: Path, document: Any) -> None:
    """Write a strict JSON document (no NaN), indented, to ``path`` with `write_atomically`."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


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
            f"the disk is full: {path} was not written; make room and run "
            f"'latentkit resume'; committed files are not lost"
        )
    return StorageError(
        f"cannot write {path}: {describe_os_error(error)}; choose another folder with --out"
    )


def _write_all(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
