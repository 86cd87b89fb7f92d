"""The IDX files of the MNIST family: find them, fetch them, check them, read them.

The files are read as they were downloaded, gzipped, so a read-only folder serves; the layout is
torchvision's (``<Name>/raw/*.gz``), so its downloads are found, unpacked ones too.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import (
    BrokenEnvironmentError,
    DataError,
    NetworkError,
    StorageError,
    describe_os_error,
)

_UINT8_CODE = 0x08
_NOT_WRITTEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


class IdxSource:
    """The files of one data set of torchvision's MNIST family.

    Args:
        class_name: of the data set in `torchvision.datasets`; names folder, files, mirrors, MD5s.
        cache: the folder that holds ``<class_name>/raw``.
        mirror: URL of a folder to download from; empty for torchvision's own list.

    Raises:
        BrokenEnvironmentError: torchvision cannot be imported.
    """

    def __init__(self, class_name: str, cache: Path, mirror: str = "") -> None:
        described = _torchvision_class(class_name)
        self.name = class_name
        self.folder = cache / class_name / "raw"
        self.md5: dict[str, str] = dict(described.resources)
        self.mirrors: Sequence[str] = [mirror] if mirror else list(described.mirrors)

    def read(self, name: str) -> tuple[NDArray[np.uint8], str]:
        """Return the array in file ``name`` (ends in .gz) and the SHA-256 of that file.

        Raises:
            DataError: the file does not have its checksum, or is no IDX file.
            NetworkError: the file is not here and cannot be downloaded.
            StorageError: the file is not here and cannot be written.
        """
        packed = self.folder / name
        unpacked = packed.with_suffix("")
        if not packed.exists() and unpacked.exists():
            content = self._bytes(unpacked)
            return _parse_idx(content, unpacked), hashlib.sha256(content).hexdigest()
        if not packed.exists():
            self._download(name)
        content = self._bytes(packed)
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != self.md5[name]:
            raise DataError(
                f"{packed} is damaged: its MD5 is not {self.md5[name]}; delete it, and it is "
                f"downloaded again"
            )
        try:
            raw = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{packed} is not a gzip file: {error}") from error
        return _parse_idx(raw, packed), hashlib.sha256(content).hexdigest()

    def _bytes(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {describe_os_error(error)}") from error

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
        return (
            f"{self.name} could not be downloaded ({'; '.join(reasons)}). Put its "
            f"{len(self.md5)} files into {self.folder}: {listed} - or name the folder that "
            f"holds {self.name}/raw with --data-dir or LATENTKIT_DATA"
        )


def _torchvision_class(class_name: str) -> Any:
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


def _parse_idx(raw: bytes, path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: 0, 0, type, dimensions, then big-endian sizes, then the array."""
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UINT8_CODE)):
        raise DataError(f"{path} is not an IDX file of bytes")
    dimensions = raw[3]
    start = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if len(raw) != start + math.prod(shape):
        raise DataError(f"{path} is truncated: {len(raw)} bytes for an array of {shape}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
