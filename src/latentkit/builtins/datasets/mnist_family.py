"""``mnist``, ``kmnist``, ``fashion-mnist`` and ``emnist``: 28x28 grey images in IDX files.

The downloaded files are read in their gzipped form, so they may be in a read-only folder. The
layout is torchvision's (``<Name>/raw/*.gz``), so files that torchvision downloaded are found,
whether it unpacked them or not. URLs and checksums are copied from torchvision, because importing
it would cost every run 150 MB of memory and several seconds. A test checks that they are equal.

``emnist`` (G. Cohen, S. Afshar, J. Tapson, A. van Schaik, arXiv:1702.05373) has the letters and
digits of NIST's special database 19, in six partitions. Its files are read from the downloaded
archive, and the images are turned upright.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import STEMS, DownloadOptions, EmnistOptions
from latentkit.builtins.datasets.subsets import shortened
from latentkit.errors import DataError, LatentkitError
from latentkit.plugin import (
    ImageData,
    Split,
    VerifiedFiles,
    check_memory,
    read_bytes,
    torchvision_datasets,
)

_AGAIN = "delete it to download it again"


@dataclass(frozen=True)
class IdxPlaces:
    """The files of one data set.

    Args:
        mirrors: URLs of folders that hold the files, tried in order.
        md5: MD5 checksum of each file, by file name.
    """

    mirrors: tuple[str, ...]
    md5: Mapping[str, str]


def _places(mirrors: tuple[str, ...], *sums: str) -> IdxPlaces:
    names = (f"{stem}.gz" for stem in STEMS)
    return IdxPlaces(mirrors, dict(zip(names, sums, strict=True)))


PLACES = {
    "MNIST": _places(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "FashionMNIST": _places(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "KMNIST": _places(
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
}
"""The files of each data set, by the folder name that torchvision uses."""


_MAGIC = 4  # bytes before the sizes; the last is their number
_UINT8_CODE = 0x08
_MOST_AXES = 3
_MOST_PACKED = 1032  # greatest compression ratio of deflate
_CHUNK = 2**20  # bytes that are unpacked at once


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
        return parse_packed_idx(content, packed), hashlib.sha256(content).hexdigest()


def parse_packed_idx(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array of a gzipped IDX file of bytes; no more is unpacked than its head states.

    Raises:
        DataError: ``content`` is not a gzip file, or what it holds is not an IDX file of bytes, or
            is shorter or longer than it states.
        ResourceError: the array is larger than the free memory.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            head = file.read(_MAGIC)
            head += file.read(4 * head[-1] if len(head) == _MAGIC else 0)
            shape = _stated_shape(head, path)
            size = math.prod(shape)
            if size > _MOST_PACKED * len(content):
                raise DataError(
                    f"{path} is truncated ({len(content)} bytes cannot hold {shape}): {_AGAIN}"
                )
            check_memory(size, str(path))
            # The images are unpacked into their place, so they are in memory once, not twice.
            flat = np.empty(size, np.uint8)
            at = 0
            while chunk := file.read(min(_CHUNK, size - at)):
                flat[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
                at += len(chunk)
            more = file.read(1)  # compares the checksum
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a gzip file ({error}): {_AGAIN}") from error
    if at < size or more:
        raise DataError(
            f"{path} is {'too long' if more else 'truncated'} for an array of {shape}: {_AGAIN}"
        )
    return flat.reshape(shape)


def parse_idx(raw: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes.

    The layout is 0, 0, type, number of dimensions, then the big-endian sizes, then the array.

    Raises:
        DataError: ``raw`` is not an IDX file of bytes, or is truncated.
    """
    start = _MAGIC + 4 * (raw[_MAGIC - 1] if len(raw) >= _MAGIC else 0)
    shape = _stated_shape(raw[:start], path)
    if len(raw) != start + math.prod(shape):
        raise DataError(f"{path} is truncated ({len(raw)} bytes for an array of {shape}): {_AGAIN}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _stated_shape(head: bytes, path: Path) -> tuple[int, ...]:
    """Return the shape that the head of an IDX file states."""
    dimensions = head[_MAGIC - 1] if len(head) >= _MAGIC else 0
    if len(head) < _MAGIC or head[:3] != bytes((0, 0, _UINT8_CODE)) or dimensions > _MOST_AXES:
        raise DataError(f"{path} is not an IDX file of bytes: {_AGAIN}")
    if len(head) < _MAGIC + 4 * dimensions:
        raise DataError(f"{path} is truncated (its head has {len(head)} bytes): {_AGAIN}")
    shape = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(_MAGIC, len(head), 4))
    if not all(shape):  # sizes beside a 0 may be larger than any array's
        return (0,) * dimensions
    return shape


_PREFIX = {"train": "train", "test": "t10k"}
_DIGITS = tuple("0123456789")
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_Load = Callable[[DownloadOptions, Split, Path], ImageData]


def _load(
    options: DownloadOptions,
    split: Split,
    cache: Path,
    *,
    folder: str,
    classes: tuple[str, ...],
    licence: str,
) -> ImageData:
    source = IdxSource(folder, cache, options.mirror)
    images, images_sha = source.read(f"{_PREFIX[split]}-images-idx3-ubyte.gz")
    labels, labels_sha = source.read(f"{_PREFIX[split]}-labels-idx1-ubyte.gz")
    together = images.ndim == 3 and labels.shape == images.shape[:1] and images.size > 0
    if not together or labels.max() >= len(classes):
        raise DataError(
            f"the image and label files in {source.folder} do not belong together: delete them to "
            f"download them again"
        )
    found = ImageData(
        images=images[:, None],
        labels=labels.astype(np.int64),
        class_names=classes,
        licence=licence,
        checksum=hashlib.sha256(f"{images_sha}{labels_sha}".encode()).hexdigest(),
    )
    return shortened(found, options, split)


load_fashion_mnist: _Load = partial(_load, folder="FashionMNIST", classes=_CLOTHES, licence="MIT")
"""H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747."""

load_mnist: _Load = partial(_load, folder="MNIST", classes=_DIGITS, licence="CC-BY-SA-3.0")
"""Y. LeCun, C. Cortes, C. J. C. Burges, 1998."""

load_kmnist: _Load = partial(_load, folder="KMNIST", classes=_KUZUSHIJI, licence="CC-BY-SA-4.0")
"""T. Clanuwat et al., arXiv:1812.01718."""


def load_emnist(options: EmnistOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of one partition, (N, 1, 28, 28)."""
    described = torchvision_datasets().EMNIST
    folder_url, _, name = described.url.rpartition("/")
    mirrors = [options.mirror or folder_url]
    files = VerifiedFiles("EMNIST", cache, "EMNIST/raw", {name: described.md5}, mirrors)
    content = files.content(name)
    path = files.folder / name
    classes = tuple(described.classes_split_dict[options.partition])
    try:
        images, labels = _partition(content, f"gzip/emnist-{options.partition}-{split}", path)
        if classes[0] == "N/A":  # the labels of the partition "letters" start at 1
            classes, labels = classes[1:], labels - 1
        found = ImageData(
            images=np.ascontiguousarray(images.transpose(0, 2, 1))[:, None],
            labels=labels.astype(np.int64),
            class_names=classes,
            licence="CC0-1.0",
            checksum=hashlib.sha256(content).hexdigest(),
        )
    except LatentkitError:
        raise
    except Exception as error:  # a damaged archive can fail anywhere in its readers
        raise DataError(f"{path} is not the archive of EMNIST ({error}): {_AGAIN}") from error
    return shortened(found, options, split)


def _partition(
    content: bytes, stem: str, path: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images and labels of a partition in EMNIST's archive."""
    found = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for end in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"):
            member = archive.getinfo(f"{stem}-{end}")
            check_memory(member.file_size, str(path))
            found.append(parse_packed_idx(archive.read(member), path))
    images, labels = found
    return images, labels
