"""The beginning of a data set, for a quick look."""

from __future__ import annotations

import numpy as np

from latentkit.builtins.datasets.options import DownloadOptions
from latentkit.plugin import ImageData
from latentkit.plugin.protocols import Split


def shortened(images: ImageData, options: DownloadOptions, split: Split) -> ImageData:
    """Return as many of the first images as the options ask for; row numbers stay what they are.

    Args:
        images: all of a split, (N, C, H, W).
        options: ``n_train`` and ``n_test``; None, or more than there are, for all.
        split: which it is.
    """
    count = options.n_train if split == "train" else options.n_test
    if count is None or count >= len(images):
        return images
    return images.subset(np.arange(count))
