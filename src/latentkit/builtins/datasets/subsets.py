"""Parts of a data set: a held-out test set, or the first images only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.plugin import ImageData, Split, draw_rows

_TEST_SHARE = 0.2


LEAST_IMAGES = 3
"""One to test with, one to train with and one to validate with."""


def rows_of(
    split: Split, n: int, labels: NDArray[np.integer[Any]] | None
) -> NDArray[np.integer[Any]]:
    """Return the rows of a split. One image in five of each class is in the test set.

    The draw does not depend on the run's seed, so that runs can be compared. Where a class has a
    single image, or there are more classes than test images, `latentkit.plugin.draw_rows` keeps
    the shares of the classes as well as possible.

    Raises:
        ValueError: there are fewer than three images.
    """
    # Imported here because the plugin that declares the data sets must be light.
    from sklearn.model_selection import train_test_split

    if n < LEAST_IMAGES:
        raise ValueError(f"{n} images cannot be divided: {LEAST_IMAGES} or more are needed")
    counts = np.unique(labels, return_counts=True)[1] if labels is not None else np.zeros(0)
    n_test = math.ceil(n * _TEST_SHARE)
    if len(counts) > 1 and (counts.min() < 2 or len(counts) > min(n_test, n - n_test)):
        test = draw_rows(n, labels, n_test, seed=0)
        return test if split == "test" else np.setdiff1d(np.arange(n), test, assume_unique=True)
    train, test = train_test_split(
        np.arange(n),
        test_size=_TEST_SHARE,
        stratify=labels if len(counts) > 1 else None,
        random_state=0,
    )
    return np.sort(train if split == "train" else test)


def draw_note(labels: NDArray[np.integer[Any]] | None, test: NDArray[Any]) -> list[str]:
    """Return a note on classes of which a draw has taken no image for testing.

    Args:
        labels: int (N,), or None.
        test: the rows that were drawn.
    """
    if labels is None:
        return []
    classes, tested = len(np.unique(labels)), len(np.unique(labels[test]))
    if classes == tested:
        return []
    lacking = f"{classes - tested:,} of {classes:,} classes"
    return [f"{lacking} have too few images for one of them to be among {len(test):,} test images"]


def shortened(images: ImageData, options: DownloadOptions, split: Split) -> ImageData:
    """Return the first images of a split, as many as the options ask for.

    Row numbers do not change.

    Args:
        images: all images of the split, (N, C, H, W).
        options: ``n_train`` and ``n_test``. None, or more than there are, keeps all.
        split: which split it is.
    """
    count = options.n_train if split == "train" else options.n_test
    if count is None or count >= len(images):
        return images
    return images.subset(np.arange(count))
