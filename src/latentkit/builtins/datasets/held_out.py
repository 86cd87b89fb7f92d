"""The train/test split of images that come without one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from latentkit.plugin.protocols import Split

_TEST_SHARE = 0.2


def rows_of(
    split: Split, n: int, labels: NDArray[np.integer[Any]] | None
) -> NDArray[np.integer[Any]]:
    """Return the rows of a split. One image in five of each class is in the test set.

    The draw does not depend on the run's seed, so that runs can be compared. If a class has a
    single image, the draw is not stratified.
    """
    counts = np.bincount(labels) if labels is not None else np.zeros(0)
    stratified = counts.size > 1 and counts[counts > 0].min() > 1
    train, test = train_test_split(
        np.arange(n),
        test_size=_TEST_SHARE,
        stratify=labels if stratified else None,
        random_state=0,
    )
    return np.sort(train if split == "train" else test)
