"""Files that are downloaded once and checked each time they are read."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping, Sequence
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

_NOT_WRITTEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


class VerifiedFiles:
    """The files of one data set.

    Args:
        name: of the data set, for messages.
        cache: the folder of all data sets.
        below: where in it the files lie.
        md5: the checksum of each file, by its name.
        mirrors: URLs of folders that hold the files, tried in order.
    """

    def __init__(
        self, name: str, cache: Path, below: str, md5: Mapping[str, str], mirrors: Sequence[str]
    ) -> None:
        self.name = name
        self.below = below
        self.folder = cache / below
        self.md5 = md5
        self.mirrors = mirrors

    def content(self, name: str) -> bytes:
        """Return the content of a file, which is downloaded where it is missing.

        Raises:
            DataError: the file does not have its checksum.
            NetworkError: the file is not here and cannot be downloaded.
            StorageError: the file is not here and cannot be written.
        """
        path = self.folder / name
        if not path.exists():
            self._download(name)
        content = read_bytes(path)
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != self.md5[name]:
            raise DataError(
                f"{path} is damaged: its MD5 is not {self.md5[name]}; delete it, and it is "
                f"downloaded again"
            )
        return content

    def _download(self, name: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._storage_error(error) from error
        reasons = []
        for mirror in self.mirrors:
            try:
                return self._fetch(f"{mirror.rstrip('/')}/{name}", name)
            # RuntimeError: its MD5 is another. ValueError: the mirror is no address.
            except (OSError, HTTPException, RuntimeError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in _NOT_WRITTEN:
                    raise self._storage_error(error) from error
                reason = getattr(error, "reason", None) or error
                reasons.append(f"{mirror}: {reason}")
        raise NetworkError(self._how_to_place_files(reasons))

    def _fetch(self, url: str, name: str) -> None:
        from torchvision.datasets.utils import download_url

        try:
            download_url(url, self.folder, filename=name, md5=self.md5[name])
        except BaseException:  # Ctrl-C too: half a file would be taken for a damaged one
            (self.folder / name).unlink(missing_ok=True)
            raise

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


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {describe_os_error(error)}") from error


def torchvision_class(class_name: str) -> Any:
    """Return a class of `torchvision.datasets`, which knows addresses and checksums.

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
    return getattr(datasets, class_name)
