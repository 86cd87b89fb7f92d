"""``npz``: the user's own NumPy arrays.

An ``.npz`` file holds either ``x_train`` and optionally ``x_val``, ``x_test`` and labels ``y_...``
of each (Keras's names), or ``images`` and optionally ``labels``. An ``.npy`` file holds images
only, and is memory-mapped. If the file has no test set, one image in five becomes the test set; a
validation set (``x_val``, ``x_valid`` or ``x_validation``) is used as it is.

`latentkit.builtins.datasets.array_images` says which numbers are accepted, and
`latentkit.plugin.class_codes` which labels. Codes and class names are those of all labels in the
file, so they are the same in all splits; black, white and depth are the same in all splits, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.array_images import as_images, rule_of, with_channels_first
from latentkit.builtins.datasets.options import NpzOptions
from latentkit.builtins.datasets.subsets import draw_note, rows_of
from latentkit.errors import DataError, UserError
from latentkit.plugin import ArrayFile, ImageData, Pixels, Split, class_codes

Labels = tuple[NDArray[np.int64], tuple[str, ...]]
_PARTS = {
    "train": ("train",),
    "validation": ("val", "valid", "validation"),
    "test": ("test",),
}


def load(options: NpzOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W); validation images follow the training images."""
    if not options.path:
        raise UserError("dataset npz: say which file with  -o npz.path=FILE")
    path = Path(options.path).expanduser().absolute()
    with ArrayFile(path) as arrays:
        try:
            given = {
                part: name
                for part, names in _PARTS.items()
                for name in names
                if f"x_{name}" in arrays
            }
            if "train" in given and len(given) > 1:
                return _given(arrays, options, split, given)
            return _drawn(arrays, options, split)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error


def _given(
    arrays: ArrayFile, options: NpzOptions, split: Split, given: dict[str, str]
) -> ImageData:
    """Return a split of a file that has several."""
    own = [part for part in given if (part == "test") == (split == "test")]
    if not own:  # the test set is drawn from the training images
        own = ["train"]
    others = [part for part in given if part not in own]
    read: dict[str, NDArray[Any]] = {}

    def images(part: str) -> NDArray[Any]:
        if part not in read:
            read[part] = with_channels_first(arrays[f"x_{given[part]}"])
        return read[part]

    rule = rule_of(map(images, (*own, *others)), options)
    labels = _labels(arrays, given, {part: arrays.shapes[f"x_{given[part]}"][0] for part in given})
    notes = list(rule.notes)
    pixels: dict[str, Pixels] = {}
    for part in own:
        pixels[part], said = as_images(images(part), rule, options)
        notes += said
    if "test" not in given:
        codes = labels[0].get("train")
        rows = rows_of(split, len(pixels["train"]), codes)
        pixels["train"] = pixels["train"][rows]
        if codes is not None:
            labels[0]["train"] = codes[rows]
    if len({one.shape[1:] for one in pixels.values()}) > 1:
        raise ValueError("training and validation images differ in shape")
    labelled = [part for part in own if part in labels[0]]
    if labelled and labelled != own:
        raise ValueError("only one of training and validation images has labels")
    n = len(pixels[own[0]])
    return ImageData(
        images=np.concatenate([pixels[part] for part in own]) if len(own) > 1 else pixels[own[0]],
        labels=np.concatenate([labels[0][part] for part in own]) if labelled else None,
        class_names=labels[1] if labelled else (),
        checksum=arrays.sha256(),
        validation=np.arange(n, n + len(pixels[own[1]])) if len(own) > 1 else None,
        notes=tuple(notes),
        display_channels=options.display_channels,
        value_range=None if options.range == "type" else (rule.black, rule.white),
    )


def _labels(
    arrays: ArrayFile, given: dict[str, str], counts: dict[str, int]
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return the codes of each split that has labels, and one list of class names."""
    parts = {part: arrays[f"y_{name}"] for part, name in given.items() if f"y_{name}" in arrays}
    if not parts:
        return {}, ()
    for part, labels in parts.items():
        try:
            class_codes(labels, counts[part])
        except ValueError as error:
            raise ValueError(f"y_{given[part]}: {error}") from error
    if len({labels.dtype.kind in "SU" for labels in parts.values()}) > 1:
        some = " and ".join(f"y_{given[part]}" for part in parts)
        raise ValueError(f"one of {some} holds text, the other numbers")
    total = sum(counts[part] for part in parts)
    codes, names = class_codes(np.concatenate(list(parts.values())), total)
    ends = np.cumsum([counts[part] for part in parts])[:-1]
    return dict(zip(parts, np.split(codes, ends), strict=True)), names


def _drawn(arrays: ArrayFile, options: NpzOptions, split: Split) -> ImageData:
    """Return a split of a file without a test set."""
    name = next((name for name in ("images", "", "x_train") if name in arrays), None)
    if name is None:
        raise ValueError(
            f"it holds {', '.join(arrays) or 'nothing'}, expected x_train and x_test, or images"
        )
    # Convert before the split, so that row numbers in messages are those of the file.
    values = with_channels_first(arrays[name])
    rule = rule_of([values], options)
    pixels, notes = as_images(values, rule, options)
    labels = next((arrays[each] for each in ("labels", "y_train") if each in arrays), None)
    codes, names = (None, ()) if labels is None else class_codes(labels, len(pixels))
    rows = rows_of(split, len(pixels), codes)
    said = draw_note(codes, rows_of("test", len(pixels), codes))
    return ImageData(
        images=pixels[rows],
        labels=None if codes is None else codes[rows],
        class_names=names,
        checksum=arrays.sha256(),
        notes=(*rule.notes, *notes, *said),
        display_channels=options.display_channels,
        value_range=None if options.range == "type" else (rule.black, rule.white),
    )
