"""Files that are downloaded once and checked each time they are read.

A data set that is downloaded names its files by their published MD5s and says where they are:

    files = VerifiedFiles(
        "My images", cache, "MyImages", {"train.npz": "9b0c..."}, ["https://example.org/images"]
    )
    content = files.content("train.npz")

A file appears under its name only when it is whole and has its checksum, so a process that is
killed leaves none behind that is half there, and several processes may ask for one file at once.
A download that was cut off is begun anew. Files that a user has put there are read without any
network, out of a folder that cannot be written too.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from latentkit.errors import (
    BrokenEnvironmentError,
    DataError,
    NetworkError,
    StorageError,
    describe_os_error,
)

_compared: ContextVar[list[Path] | None] = ContextVar("compared", default=None)
_NOT_WRITTEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class VerifiedFiles:
    """The files of one data set.

    Args:
        name: of the data set, for messages.
        cache: the folder of all data sets.
        below: where in it the files lie.
        md5: the checksum of each file, by its name; all that a user would have to put there.
        mirrors: URLs of folders that hold the files, tried in order; or, where a name does not
            stand at the end of its URL, URLs with ``{name}`` in the name's place.
    """

    name: str
    cache: Path
    below: str
    md5: Mapping[str, str]
    mirrors: Sequence[str]

    @property
    def folder(self) -> Path:
        """Where the files lie; may not exist yet."""
        return self.cache / self.below

    def content(self, name: str) -> bytes:
        """Return the content of a file, which is downloaded where it is missing.

        Raises:
            latentkit.errors.DataError: the file does not have its checksum.
            latentkit.errors.NetworkError: the file is not here and cannot be downloaded.
            latentkit.errors.StorageError: the file is not here and cannot be written.
        """
        content = read_bytes(self._present(name))
        self._check(name, hashlib.md5(content, usedforsecurity=False).hexdigest())
        return content

    def path(self, name: str) -> Path:
        """Return where a file lies, as checked as its `content`, without holding it in memory.

        For files of gigabytes. Raises what `content` raises.
        """
        path = self._present(name)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        except OSError as error:
            raise _cannot_read(path, error) from error
        self._check(name, found.hexdigest())
        return path

    def _present(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            self._download(name)
        return path

    def _check(self, name: str, md5: str) -> None:
        if md5 != self.md5[name]:
            raise DataError(
                f"{self.folder / name} is damaged: its MD5 is not {self.md5[name]}; delete it, and "
                f"it is downloaded again"
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
            # RuntimeError: its MD5 is another. ValueError: the mirror is no address.
            except (OSError, HTTPException, RuntimeError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in _NOT_WRITTEN:
                    raise self._storage_error(error) from error
                reason = getattr(error, "reason", None) or error
                reasons.append(f"{address}: {reason}")
        raise NetworkError(self._how_to_place_files(reasons))

    def _fetch(self, url: str, name: str) -> None:
        utilities = torchvision_datasets().utils
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".download-") as folder:
            utilities.download_url(url, folder, filename=name, md5=self.md5[name])
            Path(folder, name).replace(self.folder / name)

    def _storage_error(self, error: OSError) -> StorageError:
        return StorageError(
            f"cannot write {self.folder}: {describe_os_error(error)}; choose another place with "
            f"--data-dir"
        )

    def _how_to_place_files(self, reasons: Sequence[str]) -> str:
        listed = ", ".join(f"{name} (MD5 {md5})" for name, md5 in self.md5.items())
        files = f"{len(self.md5)} files" if len(self.md5) > 1 else "file"
        return (
            f"{self.name} could not be downloaded ({'; '.join(reasons)}). Put its {files} into "
            f"{self.folder}: {listed} - or name the folder that holds {self.below} with --data-dir "
            f"or LATENTKIT_DATA"
        )


@contextmanager
def files_compared() -> Iterator[list[Path]]:
    """Give a list that holds, once each, the files found to have their published MD5 meanwhile."""
    found: list[Path] = []
    token = _compared.set(found)
    try:
        yield found
    finally:
        _compared.reset(token)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _cannot_read(path, error) from error


def torchvision_datasets() -> Any:
    """Return the module `torchvision.datasets`, which downloads, and knows of data sets.

    Raises:
        BrokenEnvironmentError: torchvision cannot be imported.
    """
    try:
        from torchvision import datasets
    # A torchvision built for another torch fails with RuntimeError or OSError, not ImportError.
    except Exception as error:
        import torch

        raise BrokenEnvironmentError(
            f"torchvision cannot be imported beside torch {torch.__version__} ({error}): the two "
            f"must be built for each other; run  pip install --force-reinstall torch torchvision"
        ) from error
    return datasets


def _address(mirror: str, name: str) -> str:
    if "{name}" in mirror:
        return mirror.replace("{name}", name)
    return f"{mirror.rstrip('/')}/{name}"


def _cannot_read(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {describe_os_error(error)}")
