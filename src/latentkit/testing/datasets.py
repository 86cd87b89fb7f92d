"""Checks of data sets: two compatible splits of images that are the same at every load."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from latentkit.plugin.images import ImageData
from latentkit.testing.checked_parts import Check, Subject, claim, global_seed

_SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")
_LEAST_SIDE = 8


def check_splits_are_image_data(subject: Subject) -> None:
    """Check that both splits are `ImageData` with sides of 8 pixels or more.

    `ImageData` itself checks shapes, types and labels.
    """
    with _cache(subject) as cache:
        for split in _SPLITS:
            data = subject.build(split, cache)
            what = f"the {split} split"
            found = type(data).__name__
            claim(isinstance(data, ImageData), f"{what} is a {found}, not an ImageData")
            side = min(data.image_shape[1:])
            claim(side >= _LEAST_SIDE, f"{what} has sides of {side} pixels, expected 8 or more")


def check_splits_belong_together(subject: Subject) -> None:
    """Check that train and test have the same image shape, class names and factor names."""
    with _cache(subject) as cache:
        train, test = (subject.build(split, cache) for split in _SPLITS)
    shapes = f"{train.image_shape} in train and {test.image_shape} in test"
    claim(train.image_shape == test.image_shape, f"images are {shapes}")
    claim(train.class_names == test.class_names, "class names differ between train and test")
    claim(train.factor_names == test.factor_names, "factor names differ between train and test")
    labelled = [data.labels is not None for data in (train, test)]
    claim(labelled[0] == labelled[1], "one split has labels, but the other has none")


def check_test_images_are_others(subject: Subject) -> None:
    """Check that the test split differs from the training split."""
    with _cache(subject) as cache:
        train, test = (subject.build(split, cache).digest() for split in _SPLITS)
    claim(train != test, "train and test have the same images")


def check_labels_have_names(subject: Subject) -> None:
    """Check that every label is the index of a class name."""
    with _cache(subject) as cache:
        for split in _SPLITS:
            data = subject.build(split, cache)
            if data.labels is None:
                continue
            low, high, names = data.labels.min(), data.labels.max(), len(data.class_names)
            within = low >= 0 and high < names
            claim(within, f"{split} labels are {low} to {high}, but there are {names} class names")


def check_images_are_repeatable(subject: Subject) -> None:
    """Check that loading again gives the same bytes, whatever the global random states are."""
    with _cache(subject) as cache:
        for split in _SPLITS:
            with global_seed(1):
                first = subject.build(split, cache).digest()
            with global_seed(2):
                second = subject.build(split, cache).digest()
            claim(first == second, f"the {split} images differ when they are loaded again")


@contextmanager
def _cache(subject: Subject) -> Iterator[Path]:
    """Yield the user's folder of data sets, or a temporary one that does not exist yet."""
    if subject.data is not None:
        yield subject.data
        return
    with tempfile.TemporaryDirectory(prefix="latentkit-") as folder:
        yield Path(folder) / "datasets"


DATASET_CHECKS: tuple[Check, ...] = (
    check_splits_are_image_data,
    check_splits_belong_together,
    check_test_images_are_others,
    check_labels_have_names,
    check_images_are_repeatable,
)
