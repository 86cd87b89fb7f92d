"""Files that are downloaded once and verified each time they are read.

A data set lists its files with their published MD5s, and the URLs that they are downloaded from:

    files = VerifiedFiles(
        "My images", cache, "MyImages", {"train.npz": "9b0c..."}, ["https://example.org/images"]
    )
    content = files.content("train.npz")

A file appears under its final name only when it is complete and its checksum is right. A killed
process therefore never leaves a partial file under that name, and several processes may ask for
the same file at once. An interrupted download starts again from the beginning. Files that the user
placed in the folder are read without network access, and the folder may be read-only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from latentkit import errors, reading
from latentkit.plugin.machine import check_memory
from latentkit.terminal import shell_command

REPAIR_TORCH = (
    "pip install --force-reinstall torch torchvision  (for CPU builds, with the --index-url of an "
    "index that has both)"
)

_compared: ContextVar[list[Path] | None] = ContextVar("compared", default=None)
_saved_follow: ContextVar[bool] = ContextVar("saved_follow", default=False)
_offline: ContextVar[tuple[str, ...] | None] = ContextVar("offline", default=None)
_NOT_WRITTEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class VerifiedFiles:
    """The files of one data set.

    Args:
        name: name of the data set, for messages.
        cache: folder that holds all data sets.
        below: path of the files' folder below ``cache``.
        md5: file name to checksum, for every file that the data set needs.
        mirrors: URLs of folders that hold the files, tried in order. If the URL of a file does not
            end with its name, write ``{name}`` in the URL in place of the name.
    """

    name: str
    cache: Path
    below: str
    md5: Mapping[str, str]
    mirrors: Sequence[str]

    @property
    def folder(self) -> Path:
        """The folder of the files; it may not exist yet."""
        return self.cache / self.below

    def content(self, name: str) -> bytes:
        """Return the content of a file; download the file first if it is missing.

        Raises:
            latentkit.errors.DataError: the file's checksum is wrong, or the file is missing inside
                `no_downloads`.
            latentkit.errors.NetworkError: the file is missing and cannot be downloaded.
            latentkit.errors.StorageError: the file is missing and cannot be written.
        """
        content = read_bytes(self._present(name))
        self._check(name, hashlib.md5(content, usedforsecurity=False).hexdigest())
        return content

    def path(self, name: str) -> Path:
        """Return the path of a file, verified like `content` but not loaded into memory.

        Use it for files of several gigabytes. It raises the same errors as `content`.
        """
        path = self._present(name)
        try:
            with reading.open_file(path) as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        except OSError as error:
            raise _cannot_read(path, error) from error
        self._check(name, found.hexdigest())
        return path

    def _present(self, name: str) -> Path:
        path = self.folder / name
        try:
            here = path.exists()
        except OSError as error:
            raise _cannot_read(path, error) from error
        if not here:
            command = _offline.get()
            if command is not None:
                raise errors.DataError(self._how_to_fetch(command))
            self._download(name)
        return path

    def _how_to_fetch(self, command: tuple[str, ...]) -> str:
        # A file may also lie there unpacked, as torchvision leaves it.
        places = {name: self.folder / name for name in self.md5}
        missing = [
            name
            for name, path in places.items()
            if not (path.exists() or (path.suffix == ".gz" and path.with_suffix("").exists()))
        ]
        return (
            f"{self.folder} lacks {', '.join(missing)} of {self.name}, and nothing is downloaded "
            f"here: fetch with  {shell_command(*command, '--data-dir', self.cache)}  or name the "
            f"folder that contains {self.below} with --data-dir"
        )

    def _check(self, name: str, md5: str) -> None:
        if md5 != self.md5[name]:
            raise errors.DataError(
                f"{self.folder / name} is damaged: its MD5 is not {self.md5[name]}; delete it to "
                f"download it again"
            )
        compared = _compared.get()
        if compared is not None and self.folder / name not in compared:
            compared.append(self.folder / name)

    def _download(self, name: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._storage_error(error) from error
        reasons = []
        for mirror in self.mirrors:
            address = _address(mirror, name)
            try:
                return self._fetch(address, name)
            # torchvision raises RuntimeError if the MD5 is wrong, ValueError if the URL is invalid.
            except (OSError, HTTPException, RuntimeError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in _NOT_WRITTEN:
                    raise self._storage_error(error) from error
                reason = getattr(error, "reason", None) or error
                reasons.append(f"{address}: {reason}")
        raise errors.NetworkError(self._how_to_place_files(reasons))

    def _fetch(self, url: str, name: str) -> None:
        utilities = torchvision_datasets().utils
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".download-") as folder:
            utilities.download_url(url, folder, filename=name, md5=self.md5[name])
            Path(folder, name).replace(self.folder / name)

    def _storage_error(self, error: OSError) -> errors.StorageError:
        return errors.StorageError(
            f"cannot write {self.folder}: {errors.describe_os_error(error)}; choose another place "
            f"with --data-dir"
        )

    def _how_to_place_files(self, reasons: Sequence[str]) -> str:
        listed = ", ".join(f"{name} (MD5 {md5})" for name, md5 in self.md5.items())
        files = f"{len(self.md5)} files" if len(self.md5) > 1 else "file"
        return (
            f"{self.name} could not be downloaded ({'; '.join(reasons)}). Put its {files} into "
            f"{self.folder}: {listed} - or name the folder that contains {self.below} with "
            f"--data-dir or LATENTKIT_DATA"
        )


@contextmanager
def files_compared() -> Iterator[list[Path]]:
    """Collect the files whose published MD5 is confirmed inside the block, each listed once."""
    found: list[Path] = []
    token = _compared.set(found)
    try:
        yield found
    finally:
        _compared.reset(token)


@contextmanager
def no_downloads(dataset: str, options: Mapping[str, object] | None = None) -> Iterator[None]:
    """Refuse inside the block to download the files of a data set: a missing one is an error.

    A run that somebody else made names a data set, and may name a mirror. Resuming it must not
    open a connection that this user has not asked for.

    Args:
        dataset: the data set's name, for the command in the message that fetches the files.
        options: its options, if they decide which files are needed. A mirror is never repeated in
            the command.
    """
    chosen = {name: value for name, value in (options or {}).items() if name != "mirror"}
    words = [word for name, value in chosen.items() for word in ("-o", f"{dataset}.{name}={value}")]
    token = _offline.set(("data", "verify", dataset, *words))
    try:
        yield
    finally:
        _offline.reset(token)


def check_downloads_allowed(what: str, cache: Path | None = None) -> None:
    """Refuse to download what is missing, if this command must not download anything.

    Call it before a library downloads files of a data set that has no `VerifiedFiles`, or the
    weights of a model.

    Args:
        what: what is missing, for the message.
        cache: folder that holds all data sets; None for the weights of a model.

    Raises:
        DataError: the call is inside `no_downloads`.
    """
    command = _offline.get()
    if command is None:
        return
    if cache is None:
        raise errors.DataError(
            f"{what} would be downloaded, and nothing is downloaded for a run that exists: start "
            f"another run of this model, which downloads it"
        )
    raise errors.DataError(
        f"{cache} lacks {what}, and nothing is downloaded here: fetch with  "
        f"{shell_command(*command, '--data-dir', cache)}"
    )


@contextmanager
def saved_weights_follow() -> Iterator[None]:
    """Say to models built inside the block that they need no weights of their own."""
    token = _saved_follow.set(True)
    try:
        yield
    finally:
        _saved_follow.reset(token)


def needs_own_weights() -> bool:
    """Return whether a model that arrives with weights should load them while it is built.

    It should not if the saved weights of a run are loaded afterwards, or if the model is the random
    encoder that a card compares it with. It is then built with initial weights from torch's global
    random state, and nothing is read or downloaded.
    """
    return not _saved_follow.get()


def check_new(path: Path | str) -> None:
    """Refuse a file of weights whose SHA-256 is unknown for a run or study that exists already.

    It may be a stranger's, which names any file of the user's.

    Raises:
        IntegrityError: the call is inside `no_downloads`.
    """
    if _offline.get() is not None:
        raise errors.IntegrityError(
            f"{path} is not read, because the run or study that names it does not say which "
            f"SHA-256 it has: start a new one, if you trust the file"
        )


def with_sha256(path: str, sha256: str) -> tuple[str, str]:
    """Return the absolute path and the SHA-256 of a file of weights that an option names.

    Call it in ``Options.for_images``, so that a run records which file it was started with, and
    give the result to `read_weights`. Nothing changes and nothing is read if the SHA-256 is known,
    or if the weights are not needed (`needs_own_weights`).

    Args:
        path: the file.
        sha256: its SHA-256; empty if it is not known yet.

    Raises:
        DataError: the file cannot be read.
        IntegrityError: a run or study that exists already does not have the SHA-256.
    """
    if sha256 or not needs_own_weights():
        return path, sha256
    check_new(path)
    whole = Path(path).expanduser().absolute()
    try:
        with reading.open_file(whole) as file:
            return str(whole), hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _cannot_read(whole, error) from error


_UNCHECKED = 2**24  # bytes of a file that always fit; asking for the free memory takes longer


def read_bytes(path: Path | str) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: the file cannot be read, or is a pipe, a device or a folder.
        ResourceError: the file is larger than the free memory.
    """
    try:
        with reading.open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _UNCHECKED:
                check_memory(size, str(path))
            return file.read()
    except OSError as error:
        raise _cannot_read(path, error) from error


Stat = tuple[int, int, int]
"""Size in bytes, and times of the last change of the content and of the file in nanoseconds."""

_ATTEMPTS = 3  # to read a file that changes while it is read
_TICK = 0.02  # seconds; two changes of a file within a tick may have the same time


def stat_of(path: Path | str) -> Stat:
    """Return size and times of change of a file; zeros if there is none.

    The time of the last change of the file also changes if the other one is set by hand.
    """
    try:
        return _stat(os.stat(path))  # noqa: PTH116  # a million times
    except OSError:
        return (0, 0, 0)


def _stat(found: os.stat_result) -> Stat:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_unchanged(path: Path | str) -> tuple[bytes, Stat]:
    """Return the content of a file and its state, which was the same before and after reading.

    Raises:
        DataError: as `read_bytes`; or the file changes while it is read.
        ResourceError: the file is larger than the free memory.
    """
    for _ in range(_ATTEMPTS):
        try:
            handle, found = reading.open_handle(path)
            try:
                before = _stat(found)
                if 0 <= time.time() - before[2] / 1e9 < _TICK:
                    time.sleep(_TICK)  # so that a later change has another time
                if before[0] > _UNCHECKED:
                    check_memory(before[0], str(path))
                content = os.read(handle, before[0] + 1)
                if len(content) != before[0]:  # the system gives at most two gigabytes at once
                    parts = [content]
                    while parts[-1]:
                        parts.append(os.read(handle, _UNCHECKED))
                    content = b"".join(parts)
                if _stat(os.fstat(handle)) == before:
                    return content, before
            finally:
                os.close(handle)
        except OSError as error:
            raise _cannot_read(path, error) from error
    raise errors.DataError(f"cannot read {path}: it changes while it is read")


def torchvision_datasets() -> Any:
    """Import and return `torchvision.datasets`, which downloads and describes data sets.

    Raises:
        BrokenEnvironmentError: torchvision cannot be imported.
    """
    try:
        from torchvision import datasets
    # A torchvision built for another torch raises RuntimeError or OSError, not ImportError.
    except Exception as error:
        import torch

        raise errors.BrokenEnvironmentError(
            f"torchvision cannot be imported with torch {torch.__version__} ({error}): their "
            f"versions must match, and both be CPU builds or both CUDA builds: run  {REPAIR_TORCH}"
        ) from error
    return datasets


def _address(mirror: str, name: str) -> str:
    if "{name}" in mirror:
        return mirror.replace("{name}", name)
    return f"{mirror.rstrip('/')}/{name}"


def _cannot_read(path: Path | str, error: OSError) -> errors.DataError:
    return errors.DataError(f"cannot read {path}: {errors.describe_os_error(error)}")
