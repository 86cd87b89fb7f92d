"""``digits``: the 1,797 test images of the UCI optical digits, as scikit-learn bundles them.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, CC BY 4.0. There is
no official split of this part: one image in five of each class is the test set, by a fixed draw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from latentkit.plugin import ImageData, Options
from latentkit.plugin.protocols import Split

_LEVELS = 16  # grey levels are 0..16
_TEST_SHARE = 0.2


def load(options: Options, split: Split, cache: Path) -> ImageData:
    """Return 1,437 training or 360 test images, (N, 1, 8, 8)."""
    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=_TEST_SHARE,
        stratify=digits.target,
        random_state=0,
    )
    index = np.sort(train if split == "train" else test)
    images = np.rint(digits.images[index, None] * (255 / _LEVELS)).astype(np.uint8)
    return ImageData(
        images=images,
        labels=digits.target[index].astype(np.int64),
        class_names=tuple("0123456789"),
        licence="CC-BY-4.0",
    )
