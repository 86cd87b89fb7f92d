"""Loads images by the library datasets, which reads them in order, and decodes them once.

Local files and the files of the hub, which are downloaded into ``HuggingFace/`` in the folder of
data sets, are read as a stream, so that datasets makes no copies of its own. Scripts are never
executed. A token is only taken from the environment, as ``HF_TOKEN``, by huggingface_hub.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import DataError, LatentkitError, UserError, did_you_mean
from latentkit.plugin import ImageData, Split, class_codes, draw_rows, stored_pictures
from latentkit_huggingface.options import HuggingfaceOptions
from latentkit_huggingface.sources import Source, find_source

_PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_LABELS = ("label", "labels", "fine_label", "class", "target")
_TEST_SHARE = 0.2
_FEWEST = 3


def load(options: HuggingfaceOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W); validation images follow the training images."""
    if not (options.path or options.hub):
        raise UserError(
            "dataset huggingface: say which images with  -o huggingface.path=PATH  or  -o "
            "huggingface.hub=OWNER/NAME"
        )
    source = find_source(options, cache)
    with _explained(source):
        return _loaded(source, options, split)


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    """Turn the many exceptions of datasets into one line."""
    try:
        yield
    except (LatentkitError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{source.named} cannot be read ({type(error).__name__}: {reason}): get another copy"
        ) from error


def _loaded(source: Source, options: HuggingfaceOptions, split: Split) -> ImageData:
    splits = source.open()
    parts = _parts(list(splits), options, source)
    features = splits[parts["train"]].features
    if features is None:
        raise DataError(f"{source.named} does not say which columns it has: save it as Parquet")
    image = _image_column(features, options, source)
    label = _label_column(features, options, source)
    read = {
        part: (splits[name] if image in splits[name].features else None)
        for part, name in parts.items()
    }
    labels, counts = {}, {}
    for part, name in parts.items():
        if read[part] is None:
            raise DataError(
                f"{source.named}: split {name} has no column {image!r}: name another split with  "
                f"-o huggingface.{part}_split=NAME"
            )
        found = _column(splits[name], label or _narrowest(features, image))
        counts[part] = len(found)
        if label:
            labels[part] = found
    codes, names = _codes(labels, features.get(label), source)
    own: tuple[str, ...] = ("test",) if split == "test" else ("train", "validation")
    own = tuple(part for part in own if part in parts) or ("train",)
    rows = {part: np.arange(counts[part]) for part in own}
    if "test" not in parts:
        rows["train"] = _drawn(split, counts["train"], codes.get("train"), source)
    chosen = [(splits[parts[part]], rows[part]) for part in own]
    n = [len(one) for one in rows.values()]
    stored = stored_pictures(
        lambda: chain.from_iterable(_contents(source, one, image, some) for one, some in chosen),
        sum(n),
        options.reading,
        {"state": source.state, "parts": {part: parts[part] for part in own}, "image": image}
        | {"config": options.config, "split": split, "draw": "test" not in parts}
        | {"labels": label if "test" not in parts else ""},
        path=source.path,
        source=source.named,
    )
    unused = [name for name in features if name not in (image, label)]
    notes = [
        *source.notes,
        *stored.facts,
        *filter(None, [stored.note]),
        *([f"columns that are not used: {', '.join(unused)}"] if unused else []),
        *_unused_splits(splits, parts),
    ]
    return ImageData(
        images=stored.images,
        labels=np.concatenate([codes[part][rows[part]] for part in own]) if label else None,
        class_names=names,
        licence=source.licence(splits[parts["train"]]),
        images_sha256=stored.sha256,
        validation=np.arange(n[0], sum(n)) if len(own) > 1 else None,
        notes=tuple(notes),
        value_range=None if options.limits == "type" else options.limits,
    )


def _parts(names: list[str], options: HuggingfaceOptions, source: Source) -> dict[str, str]:
    """Return the name of the split that is used for each part.

    Raises:
        DataError: there are no training images, or a split that the user names does not exist.
    """
    parts = {}
    for part, usual in _PARTS.items():
        asked = getattr(options, f"{part}_split")
        if asked and asked not in names:
            raise DataError(
                f"{source.named} has no split {asked!r}{did_you_mean(asked, names)}: it has "
                f"{', '.join(names)}"
            )
        found = asked or next((name for name in usual if name in names), "")
        if found:
            parts[part] = found
    if "train" not in parts and len(names) == 1:
        parts = {"train": names[0]}
    if "train" not in parts:
        raise DataError(
            f"{source.named} has the splits {', '.join(names)}: say which has the training images "
            f"with  -o huggingface.train_split=NAME"
        )
    if len(set(parts.values())) < len(parts):
        raise DataError(
            f"{source.named}: one split is used twice, for two of {', '.join(parts)}: name others"
        )
    return parts


def _unused_splits(names: Any, parts: dict[str, str]) -> list[str]:
    others = [name for name in names if name not in parts.values()]
    return [f"splits that are not used: {', '.join(others)}"] if others else []


def _image_column(features: Any, options: HuggingfaceOptions, source: Source) -> str:
    """Return the column of the images: the one that is asked for, or the only one there is."""
    import datasets

    if options.image_column:
        _check_column(options.image_column, features, source)
        return options.image_column
    found = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    if not found:  # Parquet files that datasets has not written
        found = [
            name for name, kind in features.items() if isinstance(kind, dict) and "bytes" in kind
        ]
    if len(found) != 1:
        raise DataError(
            f"{source.named} has {len(found)} columns of images among {', '.join(features)}: name "
            f"one with  -o huggingface.image_column=NAME"
        )
    return str(found[0])


def _label_column(features: Any, options: HuggingfaceOptions, source: Source) -> str:
    """Return the column of the labels, empty for none."""
    import datasets

    if options.label_column:
        if options.label_column != "none" or "none" in features:
            _check_column(options.label_column, features, source)
            return options.label_column
        return ""
    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if len(classes) == 1:
        return str(classes[0])
    usual = [name for name in _LABELS if name in (classes or features)]
    if not usual and classes:
        raise DataError(
            f"{source.named} has several columns of labels ({', '.join(classes)}): choose one with "
            f" -o huggingface.label_column=NAME"
        )
    return usual[0] if usual else ""


def _check_column(name: str, features: Any, source: Source) -> None:
    if name not in features:
        raise DataError(
            f"{source.named} has no column {name!r}{did_you_mean(name, features)}: it has "
            f"{', '.join(features)}"
        )


def _narrowest(features: Any, image: str) -> str:
    """Return a column to count rows by: any but the images, if there is one."""
    return next((name for name in features if name != image), image)


def _column(split: Any, name: str) -> list[Any]:
    """Return the values of a column, without decoding images."""
    import datasets

    if isinstance(split.features[name], datasets.Image):
        split = split.cast_column(name, datasets.Image(decode=False))
        return [None for _ in split.select_columns([name])]
    return [row[name] for row in split.select_columns([name])]


def _codes(
    labels: dict[str, list[Any]], feature: Any, source: Source
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return the codes of each part, and one list of class names."""
    import datasets

    if not labels:
        return {}, ()
    values = list(chain.from_iterable(labels.values()))
    names: tuple[str, ...]
    try:
        if isinstance(feature, datasets.ClassLabel):
            names = tuple(feature.names)
            missing = sum(value is None or not 0 <= value < len(names) for value in values)
            if missing:
                raise ValueError(
                    f"{missing:,} of {len(values):,} images have no label: leave labels out with  "
                    f"-o huggingface.label_column=none  or name other splits"
                )
            codes = np.array(values, np.int64)
        else:
            codes, names = class_codes(values, len(values))
    except ValueError as error:
        raise DataError(f"{source.named}: {error}") from error
    ends = np.cumsum([len(one) for one in labels.values()])[:-1]
    return dict(zip(labels, np.split(codes, ends), strict=True)), names


def _drawn(
    split: Split, n: int, labels: NDArray[np.int64] | None, source: Source
) -> NDArray[np.int64]:
    """Return rows of a split that is drawn from the training images, ascending."""
    if n < _FEWEST:
        raise DataError(f"{source.named} has {n} images: {_FEWEST} or more are needed")
    test = np.sort(draw_rows(n, labels, math.ceil(n * _TEST_SHARE), seed=0))
    return test if split == "test" else np.setdiff1d(np.arange(n), test)


def _contents(source: Source, split: Any, image: str, rows: NDArray[np.int64]) -> Iterator[bytes]:
    """Yield the content of the image files at ascending rows."""
    import datasets

    wanted = set(rows.tolist())
    only = split.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    for row, found in enumerate(only):
        if row in wanted:
            one = found[image]
            if one is None or not (one["bytes"] or one["path"]):
                raise DataError(
                    f"{source.named}: row {row:,} of column {image!r} has no image: leave it out"
                )
            yield one["bytes"] or source.content(one["path"])
