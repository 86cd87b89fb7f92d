"""``npz``: the user's own NumPy arrays.

An ``.npz`` file holds either ``x_train`` and optionally ``y_train``, ``x_test`` and ``y_test``
(Keras's names), or ``images`` and optionally ``labels``. An ``.npy`` file holds images only, and is
memory-mapped. If the file has no test set, one image in five becomes the test set.

`latentkit.plugin.to_uint8` says which images are accepted, and `latentkit.plugin.class_codes` which
labels. Codes and class names are those of all labels in the file, so they are the same in both
splits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import NpzOptions
from latentkit.builtins.datasets.subsets import rows_of
from latentkit.errors import DataError, UserError
from latentkit.plugin import ArrayFile, ImageData, Split, class_codes, to_uint8

Labels = tuple[NDArray[np.int64], tuple[str, ...]]


def load(options: NpzOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W)."""
    if not options.path:
        raise UserError("dataset npz: say which file with  -o npz.path=FILE")
    path = Path(options.path).expanduser().absolute()
    with ArrayFile(path) as arrays:
        try:
            if f"x_{split}" in arrays and "x_test" in arrays:
                images, (codes, names) = _given(arrays, split)
            else:
                images, (codes, names) = _drawn(arrays, split)
            return ImageData(
                images=images,
                labels=codes if names else None,
                class_names=names,
                checksum=arrays.sha256(),
            )
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error


_UNLABELLED: Labels = (np.empty(0, np.int64), ())


def _given(arrays: ArrayFile, split: Split) -> tuple[NDArray[np.uint8], Labels]:
    """Return the images of a split that the file itself makes, and their labels."""
    images = to_uint8(arrays[f"x_{split}"])
    if f"y_{split}" not in arrays:
        return images, _UNLABELLED
    splits = [each for each in ("train", "test") if f"y_{each}" in arrays and f"x_{each}" in arrays]
    parts = {each: arrays[f"y_{each}"] for each in splits}
    counts = {each: arrays.shapes[f"x_{each}"][0] for each in splits}
    for each, labels in parts.items():
        try:
            class_codes(labels, counts[each])
        except ValueError as error:
            raise ValueError(f"y_{each}: {error}") from error
    if len({labels.dtype.kind in "SU" for labels in parts.values()}) > 1:
        raise ValueError("one of y_train and y_test holds text, the other numbers")
    codes, names = class_codes(np.concatenate(list(parts.values())), sum(counts.values()))
    start = counts["train"] if split == "test" and "train" in counts else 0
    return images, (codes[start : start + len(images)], names)


def _drawn(arrays: ArrayFile, split: Split) -> tuple[NDArray[np.uint8], Labels]:
    """Return the images of a split of a file without a test set, and their labels."""
    name = next((name for name in ("images", "", "x_train") if name in arrays), None)
    if name is None:
        raise ValueError(
            f"it holds {', '.join(arrays) or 'nothing'}, expected x_train and x_test, or images"
        )
    # Convert before the split, so that row numbers in messages are those of the file.
    pixels = to_uint8(arrays[name])
    labels = next((arrays[each] for each in ("labels", "y_train") if each in arrays), None)
    if labels is None:
        return pixels[rows_of(split, len(pixels), None)], _UNLABELLED
    codes, names = class_codes(labels, len(pixels))
    rows = rows_of(split, len(pixels), codes)
    return pixels[rows], (codes[rows], names)
