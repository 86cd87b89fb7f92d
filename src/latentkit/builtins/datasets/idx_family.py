"""``mnist``, ``kmnist``, ``fashion-mnist``: 28x28 grey images in four IDX files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from latentkit.builtins.datasets.idx import IdxSource
from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.builtins.datasets.shortened import shortened
from latentkit.errors import DataError
from latentkit.plugin import ImageData
from latentkit.plugin.protocols import Split

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
    together = images.ndim == 3 and labels.shape == images.shape[:1] and len(labels) > 0
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
