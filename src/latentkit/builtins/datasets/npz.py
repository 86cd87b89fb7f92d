"""``npz``: the user's own arrays in a NumPy, HDF5 or Zarr file.

A file holds either ``x_train`` and optionally ``x_val``, ``x_test`` and labels ``y_...`` of each
(Keras's names), or ``images`` and optionally ``labels``, ``label``, ``y``, ``Y``, ``targets`` or
``target``. An ``.npy`` file holds images only. If the file has no test set, one image in five
becomes the test set; a validation set (``x_val``, ``x_valid`` or ``x_validation``) is used as it
is.

`latentkit.builtins.datasets.array_images` says which numbers are accepted, and
`latentkit.plugin.class_codes` which labels. Codes and class names are those of all labels in the
file, so they are the same in all splits; black, white and depth are the same in all splits, too.

Images of more than 256 MiB in an ``.npy``, HDF5 or Zarr file are not read into memory: those of a
split are converted once, a block at a time, and kept on the disk (`latentkit.plugin.stored_rows`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.array_images import (
    ArrayRule,
    Numbers,
    as_images,
    clipped_notes,
    converted,
    rule_of,
)
from latentkit.builtins.datasets.array_sources import NamedArrays, open_arrays
from latentkit.builtins.datasets.options import NpzOptions, located
from latentkit.builtins.datasets.subsets import draw_note, rows_of
from latentkit.errors import DataError, UserError
from latentkit.plugin import ImageData, Pixels, Split, StoredImages, class_codes, stored_rows

Codes = dict[str, NDArray[np.int64]]
_PARTS = {
    "train": ("train",),
    "validation": ("val", "valid", "validation"),
    "test": ("test",),
}
_IMAGES = ("images", "", "x_train")
_LABELS = ("labels", "y_train", "label", "y", "Y", "targets", "target")
_LARGE = 256 * 2**20  # bytes of images above which they are not read into memory
_NAMED = 5
_TYPES = dict.fromkeys("SUT", "text") | {"b": "bool"} | dict.fromkeys("iuf", "numbers")


@dataclass(frozen=True)
class _Plan:
    """Which arrays have the images and the labels of each part that the file has."""

    images: dict[str, str]
    labels: dict[str, str]

    @classmethod
    def of(cls, names: Mapping[str, object]) -> _Plan:
        given = {part: end for part, ends in _PARTS.items() for end in ends if f"x_{end}" in names}
        if "train" in given and len(given) > 1:
            images = {part: f"x_{end}" for part, end in given.items()}
            labels = {part: f"y_{end}" for part, end in given.items() if f"y_{end}" in names}
            return cls(images, labels)
        name = next((one for one in _IMAGES if one in names), None)
        if name is None:
            found = ", ".join(names) or "nothing"
            raise ValueError(f"it holds {found}, expected x_train and x_test, or images")
        labelled = next((one for one in _LABELS if one in names), None)
        return cls({"train": name}, {} if labelled is None else {"train": labelled})

    def unused(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Return a note on arrays of the file that have neither images nor labels."""
        used = {*self.images.values(), *self.labels.values()}
        others = [f"{name} {shape}" for name, shape in shapes.items() if name not in used]
        more = ", ..." if len(others) > _NAMED else ""
        some = ", ".join(others[:_NAMED])
        return [f"arrays in the file that are not used: {some}{more}"] if others else []


def load(options: NpzOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, C, H, W); validation images follow the training images."""
    if not options.path:
        raise UserError("dataset npz: say which file with  -o npz.path=FILE")
    path, notes = located(options.path, cache)
    with open_arrays(path) as arrays:
        try:
            images = _loaded(path, arrays, options, split)
            return replace(images, notes=(*notes, *images.notes))
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Reading:
    """The images of a file that are asked for, and how they are read.

    Args:
        path: the file.
        arrays: its arrays.
        plan: which of them have the images.
        own: the parts that form the split.
        options: how numbers become images.
    """

    path: Path
    arrays: NamedArrays
    plan: _Plan
    own: tuple[str, ...]
    options: NpzOptions

    @functools.cached_property
    def is_large(self) -> bool:
        """Whether the images stay on the disk."""
        sizes = map(self.arrays.nbytes, self.plan.images.values())
        return self.arrays.in_parts and sum(sizes) > _LARGE

    @functools.cached_property
    def numbers(self) -> Callable[[str], Numbers]:
        """Returns the numbers of a part, read once if they are read as a whole."""

        @functools.cache
        def of(part: str) -> Numbers:
            name = self.plan.images[part]
            return Numbers(self.arrays.rows(name) if self.is_large else self.arrays.read(name))

        return of

    @functools.cached_property
    def rule(self) -> ArrayRule:
        """The rule of all parts."""
        others = (part for part in self.plan.images if part not in self.own)
        return rule_of(map(self.numbers, (*self.own, *others)), self.options)

    def in_memory(self, rows: Mapping[str, NDArray[np.int64]]) -> tuple[Pixels, list[str]]:
        """Return images in memory, and notes.

        All images of the file are converted, so that row numbers in messages are those of the file.
        """
        pixels, notes = list[Any](), list(self.rule.notes)
        for part in self.own:
            images, said = as_images(self.numbers(part), self.rule, self.options)
            pixels.append(images[rows[part]] if part in rows else images)
            notes += said
        _check_same({images.shape[1:] for images in pixels})
        return np.concatenate(pixels) if len(pixels) > 1 else pixels[0], notes

    def on_disk(self, rows: Mapping[str, NDArray[np.int64]]) -> StoredImages:
        """Return images that were converted and copied to the disk once, and are mapped."""
        parts = [self.numbers(part) for part in self.own]
        first = np.zeros(1, np.int64)
        _check_same(
            {
                converted(part.rows(first), self.rule, self.options, first)[0].shape[1:]
                for part in parts
            }
            if len(parts) > 1
            else set()
        )
        starts = np.cumsum([0, *map(len, parts)])
        chosen = [rows.get(part, np.arange(len(self.numbers(part)))) for part in self.own]
        joined = np.concatenate([some + at for some, at in zip(chosen, starts, strict=False)])
        clipped: dict[int, int] = {}

        def read(some: NDArray[np.int64]) -> Pixels:
            blocks, lost = list[Any](), 0
            for part, start, end in zip(parts, starts, starts[1:], strict=False):
                inside = some[(some >= start) & (some < end)] - start
                if len(inside):
                    values = part.rows(inside)
                    block, beyond = converted(values, self.rule, self.options, inside)
                    blocks.append(block)
                    lost += beyond
            clipped[int(some[0])] = lost  # the first is read twice
            return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]

        def facts() -> list[str]:
            return [*self.rule.notes, *clipped_notes(sum(clipped.values()), len(joined))]

        return stored_rows(
            self.path, joined, read, self._settings(), source=str(self.path), facts=facts
        )

    def _settings(self) -> dict[str, object]:
        """Return what decides the pixels, for the cache."""
        decides = self.options.model_dump(include={"range", "depth", "channels"})
        return {**decides, "arrays": [*self.own, self.plan.images], "state": self.arrays.state}


def _check_same(shapes: set[tuple[int, ...]]) -> None:
    if len(shapes) > 1:
        raise ValueError("training and validation images differ in shape")


def _loaded(path: Path, arrays: NamedArrays, options: NpzOptions, split: Split) -> ImageData:
    plan = _Plan.of(arrays.shapes)
    own = [part for part in plan.images if (part == "test") == (split == "test")]
    own = own or ["train"]  # of which the test images are drawn
    reading = _Reading(path, arrays, plan, tuple(own), options)
    counts = {part: len(reading.numbers(part)) for part in plan.images}
    if not reading.is_large:
        _ = reading.rule  # what is wrong with the images comes before what is wrong with labels
    codes, names = _labels(arrays, plan, counts)
    labelled = [part for part in own if part in codes]
    if labelled and labelled != own:
        raise ValueError("only one of training and validation images has labels")
    rows: dict[str, NDArray[np.int64]] = {}
    notes = list[str]()
    if "test" not in plan.images:
        of_train = codes.get("train")
        drawn = rows_of("test", counts["train"], of_train)
        notes = draw_note(of_train, drawn)
        rows["train"] = np.asarray(rows_of(split, counts["train"], of_train), np.int64)
    if reading.is_large:
        stored = reading.on_disk(rows)
        pixels, sha256, checksum = stored.images, stored.sha256, ""
        said = [*stored.facts, *filter(None, [stored.note])]
    else:
        pixels, said = reading.in_memory(rows)
        sha256, checksum = "", arrays.checksum()
    kept = [codes[part][rows[part]] if part in rows else codes[part] for part in labelled]
    n = len(rows["train"]) if "train" in rows else counts[own[0]]
    return ImageData(
        images=pixels,
        labels=np.concatenate(kept) if labelled else None,
        class_names=names if labelled else (),
        checksum=checksum,
        images_sha256=sha256,
        validation=np.arange(n, len(pixels)) if len(own) > 1 else None,
        notes=(*said, *notes, *plan.unused(arrays.shapes)),
        display_channels=options.display_channels,
        value_range=(None if options.range == "type" else (reading.rule.black, reading.rule.white)),
    )


def _labels(
    arrays: NamedArrays, plan: _Plan, counts: Mapping[str, int]
) -> tuple[Codes, tuple[str, ...]]:
    """Return the codes of each part that has labels, and one list of class names.

    Raises:
        ValueError: labels are wrong, or not of one kind.
    """
    parts = {part: arrays.read(name) for part, name in plan.labels.items()}
    if not parts:
        return {}, ()
    for part, labels in parts.items():
        try:
            class_codes(labels, counts[part])
        except ValueError as error:
            raise ValueError(f"{plan.labels[part]}: {error}") from error
    kinds = {plan.labels[part]: _kind(labels) for part, labels in parts.items()}
    if len(set(kinds.values())) > 1:
        some = ", ".join(f"{name} holds {kind}" for name, kind in kinds.items())
        raise ValueError(f"labels must be of one kind: {some}")
    total = sum(counts[part] for part in parts)
    columns = (each.reshape(len(each), -1) for each in parts.values())
    codes, names = class_codes(np.concatenate(list(columns)), total)
    ends = np.cumsum([counts[part] for part in parts])[:-1]
    return dict(zip(parts, np.split(codes, ends), strict=True)), names


def _kind(labels: NDArray[Any]) -> str:
    """Return of what kind labels are, in words."""
    columns = labels.shape[1] if labels.ndim == 2 else 1
    if columns > 1:
        return f"one-hot rows of {columns}"
    kind = labels.dtype.kind
    if kind == "O":
        return "text" if isinstance(labels.flat[0], str | bytes) else "objects"
    return _TYPES.get(kind, kind)
