"""Parts of a data set: a held-out test set, or the first images only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.plugin import ImageData, Split

_TEST_SHARE = 0.2


def rows_of(
    split: Split, n: int, labels: NDArray[np.integer[Any]] | None
) -> NDArray[np.integer[Any]]:
    """Return the rows of a split. One image in five of each class is in the test set.

    The draw does not depend on the run's seed, so that runs can be compared. If a class has a
    single image, the draw is not stratified.
    """
    # Imported here because the plugin that declares the data sets must be light.
    from sklearn.model_selection import train_test_split

    counts = np.bincount(labels) if labels is not None else np.zeros(0)
    stratified = counts.size > 1 and counts[counts > 0].min() > 1
    train, test = train_test_split(
        np.arange(n),
        test_size=_TEST_SHARE,
        stratify=labels if stratified else None,
        random_state=0,
    )
    return np.sort(train if split == "train" else test)


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
