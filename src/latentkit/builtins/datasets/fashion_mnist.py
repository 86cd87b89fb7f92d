"""``fashion-mnist``: H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747, MIT licence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from latentkit.builtins.datasets.idx import IdxSource
from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.errors import DataError
from latentkit.plugin import ImageData
from latentkit.plugin.protocols import Split

_CLASSES = (
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
_PREFIX = {"train": "train", "test": "t10k"}


def load(options: DownloadOptions, split: Split, cache: Path) -> ImageData:
    """Return the 60,000 training or 10,000 test images, (N, 1, 28, 28)."""
    source = IdxSource("FashionMNIST", cache, options.mirror)
    images, images_sha = source.read(f"{_PREFIX[split]}-images-idx3-ubyte.gz")
    labels, labels_sha = source.read(f"{_PREFIX[split]}-labels-idx1-ubyte.gz")
    together = images.ndim == 3 and labels.shape == images.shape[:1] and len(labels) > 0
    if not together or labels.max() >= len(_CLASSES):
        raise DataError(f"the files in {source.folder} do not belong together")
    return ImageData(
        images=images[:, None],
        labels=labels.astype(np.int64),
        class_names=_CLASSES,
        licence="MIT",
        checksum=hashlib.sha256(f"{images_sha}{labels_sha}".encode()).hexdigest(),
    )
