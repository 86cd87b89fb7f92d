"""``digits``: the 1,797 test images of the UCI optical digits, which scikit-learn bundles.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, CC BY 4.0. These
images have no official split. A fixed random draw makes one image in five of each class the test
set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from latentkit.builtins.datasets.subsets import rows_of
from latentkit.plugin import ImageData, Options, Split

_LEVELS = 16  # grey levels run from 0 to 16


def load(options: Options, split: Split, cache: Path) -> ImageData:
    """Return 1,437 training or 360 test images, (N, 1, 8, 8)."""
    digits = load_digits()
    index = rows_of(split, len(digits.target), digits.target)
    images = np.rint(digits.images[index, None] * (255 / _LEVELS)).astype(np.uint8)
    return ImageData(
        images=images,
        labels=digits.target[index].astype(np.int64),
        class_names=tuple("0123456789"),
        licence="CC-BY-4.0",
    )
