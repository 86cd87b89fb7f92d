"""Truncation of a data set to its first images."""

from __future__ import annotations

import numpy as np

from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.plugin import ImageData
from latentkit.plugin.protocols import Split


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
