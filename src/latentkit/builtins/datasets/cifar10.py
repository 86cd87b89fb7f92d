"""``cifar10``: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

The archive is the one that torchvision downloads, and is read without unpacking it to disk, so
that paths and links in it lead nowhere. Its members are pickles. They are opened only after the
archive's checksum was verified, and they may contain nothing but arrays.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.builtins.datasets.subsets import shortened
from latentkit.errors import DataError
from latentkit.plugin import ImageData, Split, VerifiedFiles, torchvision_datasets

_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_MOST = 10_000  # images in a batch
_MOST_UNPACKED = 2**28  # the archive has 186 MB
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


def load(options: DownloadOptions, split: Split, cache: Path) -> ImageData:
    """Return the 50,000 training or 10,000 test images, (N, 3, 32, 32)."""
    described = torchvision_datasets().CIFAR10
    mirrors = [options.mirror or described.url.rpartition("/")[0]]
    name = described.filename
    files = VerifiedFiles("CIFAR-10", cache, ".", {name: described.tgz_md5}, mirrors)
    content = files.content(name)
    listed = described.train_list if split == "train" else described.test_list
    try:
        with tarfile.open(fileobj=_Unpacked(fileobj=io.BytesIO(content))) as archive:
            members = [f"{described.base_folder}/{member}" for member, _ in listed]
            batches = [_batch(archive, member) for member in members]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch["labels"] for batch in batches]).astype(np.int64)
        found = ImageData(
            images=images,
            labels=labels,
            class_names=_CLASSES,
            licence="none stated; see the source",
            checksum=hashlib.sha256(content).hexdigest(),
        )
    except Exception as error:  # a damaged archive can fail anywhere in its readers
        reason = " ".join(str(error).split())
        raise DataError(
            f"{files.folder / name} is not the archive of CIFAR-10 ({reason}): delete it to "
            f"download it again"
        ) from error
    return shortened(found, options, split)


class _Unpacked(gzip.GzipFile):
    """The unpacked archive, which is refused where it is longer than CIFAR-10's."""

    def read(self, size: int | None = -1) -> bytes:
        self._check(self.tell() + max(size or 0, 0))
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, end: int) -> None:
        if end > _MOST_UNPACKED:
            raise tarfile.ReadError(f"it has more than {_MOST_UNPACKED:,} bytes")


class _ArraysOnly(pickle._Unpickler):
    """Unpickler of arrays, in Python: the one in C takes gigabytes for a few hostile bytes."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of arrays")
        return super().find_class(module, name)


def _batch(archive: tarfile.TarFile, member: str) -> dict[str, Any]:
    file = archive.extractfile(member)
    if file is None:
        raise KeyError(member)
    batch: dict[str, Any] = _ArraysOnly(io.BytesIO(file.read()), encoding="latin1").load()
    if np.shape(batch["data"]) != (len(batch["labels"]), 3072) or len(batch["labels"]) > _MOST:
        raise ValueError(f"{member} has not one label for each of up to {_MOST:,} images")
    return batch
