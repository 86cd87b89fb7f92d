"""``emnist``: G. Cohen, S. Afshar, J. Tapson, A. van Schaik, arXiv:1702.05373.

28x28 grey letters and digits of NIST's special database 19, in six partitions. The files are read
from the downloaded archive, and the images are turned upright.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from latentkit.builtins.datasets.idx import parse_idx, unzip
from latentkit.builtins.datasets.options import EmnistOptions
from latentkit.builtins.datasets.shortened import shortened
from latentkit.errors import DataError
from latentkit.plugin import ImageData, VerifiedFiles
from latentkit.plugin.downloads import torchvision_datasets
from latentkit.plugin.protocols import Split


def load(options: EmnistOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of one partition, (N, 1, 28, 28)."""
    described = torchvision_datasets().EMNIST
    folder_url, _, name = described.url.rpartition("/")
    mirrors = [options.mirror or folder_url]
    files = VerifiedFiles("EMNIST", cache, "EMNIST/raw", {name: described.md5}, mirrors)
    content = files.content(name)
    path = files.folder / name
    stem = f"gzip/emnist-{options.partition}-{split}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            images, labels = (
                parse_idx(unzip(archive.read(f"{stem}-{end}"), path), path)
                for end in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
            )
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path} is not the archive of EMNIST: {error}") from error
    classes = tuple(described.classes_split_dict[options.partition])
    if classes[0] == "N/A":  # the labels of the partition "letters" start at 1
        classes, labels = classes[1:], labels - 1
    found = ImageData(
        images=np.ascontiguousarray(images.transpose(0, 2, 1))[:, None],
        labels=labels.astype(np.int64),
        class_names=classes,
        licence="CC0-1.0",
        checksum=hashlib.sha256(content).hexdigest(),
    )
    return shortened(found, options, split)
