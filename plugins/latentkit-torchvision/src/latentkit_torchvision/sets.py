"""How each set of torchvision is opened: the arguments of its splits, and what it verifies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Arguments = Mapping[str, Any]
_TRAIN_FLAG: dict[str, Arguments] = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST: dict[str, Arguments] = {"train": {"split": "train"}, "test": {"split": "test"}}
_ONE: dict[str, Arguments] = {"train": {}}


def _three(train: str, validation: str, test: str) -> dict[str, Arguments]:
    names = {"train": train, "validation": validation, "test": test}
    return {part: {"split": name} for part, name in names.items()}


_TRAIN_VAL_TEST = _three("train", "val", "test")
# The published test images have no labels, or there are none.
_VAL_AS_TEST: dict[str, Arguments] = {"train": {"split": "train"}, "test": {"split": "val"}}


@dataclass(frozen=True)
class TorchvisionSet:
    """A set of torchvision.

    Args:
        splits: the arguments of the constructor for each split; without ``test`` it is drawn.
        one_size: whether all images have one size.
        verified: when torchvision compares the files' MD5s: ``always`` it is opened, when its
            files were ``downloaded``, or ``never``.
        downloads: whether torchvision downloads it.
        others: other arguments of the constructor.
    """

    splits: Mapping[str, Arguments] = field(default_factory=lambda: _TRAIN_VAL_TEST)
    one_size: bool = False
    verified: Literal["always", "downloaded", "never"] = "downloaded"
    downloads: bool = True
    others: Arguments = field(default_factory=dict)


SETS = {
    "CIFAR10": TorchvisionSet(_TRAIN_FLAG, True, "always"),
    "CIFAR100": TorchvisionSet(_TRAIN_FLAG, True, "always"),
    "CLEVRClassification": TorchvisionSet(_VAL_AS_TEST),
    "Caltech101": TorchvisionSet(_ONE),
    "Caltech256": TorchvisionSet(_ONE),
    "Country211": TorchvisionSet(_three("train", "valid", "test")),
    "DTD": TorchvisionSet(),
    "EuroSAT": TorchvisionSet(_ONE, True),
    "FER2013": TorchvisionSet(_TRAIN_TEST, True, "always", downloads=False),
    "FGVCAircraft": TorchvisionSet(verified="never"),
    "FashionMNIST": TorchvisionSet(_TRAIN_FLAG, True),
    "Flowers102": TorchvisionSet(),
    "Food101": TorchvisionSet(_TRAIN_TEST),
    "GTSRB": TorchvisionSet(_TRAIN_TEST),
    "ImageNet": TorchvisionSet(_VAL_AS_TEST, downloads=False),
    "Imagenette": TorchvisionSet(_VAL_AS_TEST, others={"size": "160px"}),
    "KMNIST": TorchvisionSet(_TRAIN_FLAG, True),
    "LFWPeople": TorchvisionSet(_TRAIN_TEST, True, "always"),
    "MNIST": TorchvisionSet(_TRAIN_FLAG, True),
    "OxfordIIITPet": TorchvisionSet({"train": {"split": "trainval"}, "test": {"split": "test"}}),
    "PCAM": TorchvisionSet(one_size=True),
    "Places365": TorchvisionSet(
        {"train": {"split": "train-standard"}, "test": {"split": "val"}}, others={"small": True}
    ),
    "QMNIST": TorchvisionSet(_TRAIN_FLAG, True),
    "RenderedSST2": TorchvisionSet(_TRAIN_VAL_TEST, True),
    "SEMEION": TorchvisionSet(_ONE, True, "always"),
    "STL10": TorchvisionSet(_TRAIN_TEST, True, "always"),
    "SUN397": TorchvisionSet(_ONE),
    "SVHN": TorchvisionSet(_TRAIN_TEST, True, "always"),
    "StanfordCars": TorchvisionSet(_TRAIN_TEST, downloads=False),
    "USPS": TorchvisionSet(_TRAIN_FLAG, True),
}
"""The sets that have images with one class each, by torchvision's names."""
