"""Download URLs and checksums of the MNIST family's files, copied from torchvision.

They are copied because importing torchvision would cost every run 150 MB of memory and several
seconds. A test checks that they equal torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Names of the files without ``.gz``."""


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
