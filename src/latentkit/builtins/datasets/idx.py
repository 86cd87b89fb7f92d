"""The IDX files of the MNIST family.

The downloaded files are read in their gzipped form, so they may be in a read-only folder. The
layout is torchvision's (``<Name>/raw/*.gz``), so files that torchvision downloaded are found,
whether it unpacked them or not.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.idx_places import PLACES
from latentkit.errors import DataError
from latentkit.plugin import VerifiedFiles
from latentkit.plugin.downloads import read_bytes

_UINT8_CODE = 0x08
_MOST_PACKED = 1032  # greatest compression ratio of deflate


class IdxSource:
    """The files of one data set of torchvision's MNIST family.

    Args:
        name: name of the data set in `PLACES`.
        cache: folder that holds ``<name>/raw``.
        mirror: URL of a folder to download from; empty for the usual ones.
    """

    def __init__(self, name: str, cache: Path, mirror: str = "") -> None:
        places = PLACES[name]
        mirrors = (mirror,) if mirror else places.mirrors
        self._files = VerifiedFiles(name, cache, f"{name}/raw", places.md5, mirrors)
        self.folder = self._files.folder

    def read(self, name: str) -> tuple[NDArray[np.uint8], str]:
        """Return the array in file ``name`` (which ends in .gz) and the SHA-256 of that file.

        Raises:
            DataError: the file has a wrong checksum, or is not an IDX file.
            NetworkError: the file is missing and cannot be downloaded.
            StorageError: the file is missing and cannot be written.
        """
        packed = self.folder / name
        unpacked = packed.with_suffix("")
        if not packed.exists() and unpacked.exists():
            content = read_bytes(unpacked)
            return parse_idx(content, unpacked), hashlib.sha256(content).hexdigest()
        content = self._files.content(name)
        return parse_idx(unzip(content, packed), packed), hashlib.sha256(content).hexdigest()


def unzip(content: bytes, path: Path) -> bytes:
    """Return the uncompressed content of a gzip file.

    Raises:
        DataError: ``content`` is not a gzip file.
    """
    # A gzip file ends with its uncompressed size. A buffer of that size never has to grow, so
    # the images are in memory once, not twice.
    size = min(int.from_bytes(content[-4:], "little"), _MOST_PACKED * len(content))
    try:
        return zlib.decompress(content, zlib.MAX_WBITS + 16, max(1, size))
    except zlib.error as error:
        raise DataError(f"{path} is not a gzip file: {error}") from error


def parse_idx(raw: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes.

    The layout is 0, 0, type, number of dimensions, then the big-endian sizes, then the array.

    Raises:
        DataError: ``raw`` is not an IDX file of bytes, or is truncated.
    """
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UINT8_CODE)):
        raise DataError(f"{path} is not an IDX file of bytes")
    dimensions = raw[3]
    start = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if len(raw) != start + math.prod(shape):
        raise DataError(f"{path} is truncated: {len(raw)} bytes for an array of {shape}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
