"""The images that an explorer page shows, and their pictures."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import LatentkitError, UserError
from latentkit.explore.explorer_layout import PageItems
from latentkit.explore.thumbnails import Bytes, make_atlases, thumbnails
from latentkit.maps.make import draw_rows
from latentkit.plugin.images import Pixels
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.folder import RunFolder

On = Literal["test", "all"] | int
"""Which images a page shows: ``test``, ``all``, or a number of them drawn from all."""


@dataclass(frozen=True)
class ChosenItems:
    """The images of a page, N of them.

    Args:
        on: how they were chosen.
        split: (N,), position of each one's split in `SPLITS`.
        row: (N,), its row in the latents of that split.
        index: (N,), its row in the training or test images.
        labels: (N,), or None if there are none.
        class_names: name of each label.
        pictures: (N, h, w, 1 or 3), their tiles; None if the images are not in place.
        shape: channels, height and width of the images.
        no_images: why there are no pictures.
        channels: the channels that pictures show; empty for the first ones.
        exact: whether pictures have the depth of the images.
    """

    on: On
    split: NDArray[np.int8]
    row: NDArray[np.int64]
    index: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    class_names: Sequence[str]
    pictures: Bytes | None
    shape: tuple[int, int, int]
    no_images: str = ""
    channels: tuple[int, ...] = ()
    exact: bool = True

    def __len__(self) -> int:
        return len(self.row)

    @property
    def keys(self) -> NDArray[np.int64]:
        """A number (N,) for each item that is the same in all runs on the same images."""
        return image_keys(self.split, self.index)

    @property
    def only_test(self) -> bool:
        """Whether all items are test images."""
        return bool((self.split == _TEST).all())

    def some(self, rows: NDArray[np.int64]) -> ChosenItems:
        """Return some of the items."""
        return replace(
            self,
            split=self.split[rows],
            row=self.row[rows],
            index=self.index[rows],
            labels=None if self.labels is None else self.labels[rows],
            pictures=None if self.pictures is None else self.pictures[rows],
        )

    def of_page(self) -> PageItems:
        """Return the items as the layout takes them."""
        shown = np.unique(self.split)[::-1]  # test images first
        codes = np.zeros(len(run_files.SPLITS), np.int64)
        codes[shown] = np.arange(len(shown))
        atlases = None
        if self.pictures is not None:
            atlases = make_atlases(self.pictures, self.shape, self.channels, exact=self.exact)
        whole = self.only_test and np.array_equal(self.row, np.arange(len(self)))
        return PageItems(
            count=len(self),
            rows=None if whole else self.row,
            splits=None if self.only_test else codes[self.split],
            split_names=[run_files.SPLITS[code] for code in shown],
            labels=self.labels,
            class_names=self.class_names,
            atlases=atlases,
            no_images=self.no_images,
        )


_TEST = run_files.SPLITS.index("test")


def image_keys(split: NDArray[Any], index: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each image, from its row and its file (training or test)."""
    keys: NDArray[np.int64] = 2 * index.astype(np.int64) + (split == _TEST)
    return keys


def _checked(on: Any) -> On:
    """Return a valid choice of images.

    Raises:
        UserError: it is none.
    """
    if on in ("test", "all"):
        return "test" if on == "test" else "all"
    try:
        count = operator.index(on)
    except TypeError:
        raise UserError(
            f"{on!r} names no images: give 'test', 'all' or a number of images"
        ) from None
    if count < 1:
        raise UserError(f"{count} images cannot be shown: ask for 1 or more, 'test' or 'all'")
    return count


def choose_items(
    context: StageContext, on: On, class_names: Sequence[str], note: Callable[[str], None]
) -> ChosenItems:
    """Return the images of a run that a page shows.

    Args:
        context: the run.
        on: which images.
        class_names: name of each label.
        note: receives what the page should say about the choice.

    Raises:
        UserError: there are not as many images as were asked for.
    """
    on = _checked(on)
    names = ("test",) if on == "test" else run_files.SPLITS
    parts = [context.folder.arrays(run_files.latents_path(name)) for name in names]
    counts = [len(part["index"]) for part in parts]
    labelled = all("labels" in part for part in parts)
    places = [
        np.full(n, run_files.SPLITS.index(name)) for n, name in zip(counts, names, strict=True)
    ]
    found = ChosenItems(
        on,
        np.concatenate(places).astype(np.int8),
        np.concatenate([np.arange(n) for n in counts]),
        np.concatenate([part["index"] for part in parts]),
        np.concatenate([part["labels"] for part in parts]) if labelled else None,
        class_names,
        None,
        context.image_shape,
    )
    if isinstance(on, int):
        found = found.some(draw_rows(len(found), on, context.seed))
        note(f"{on:,} of all {sum(counts):,} images are shown, drawn at random")
    return found


def with_pictures(
    items: ChosenItems, context: StageContext, note: Callable[[str], None]
) -> ChosenItems:
    """Return items with their pictures, or with the reason why there are none.

    Args:
        items: without pictures.
        context: the run.
        note: receives what the pictures do not show.
    """
    try:
        images = context.images("test")
        pictures = _pictures(items, context, images.display_channels)
    except LatentkitError as error:
        return replace(items, no_images=f"the images are not in place: {error}")
    depth, *size = items.shape
    height, width, shown = pictures.shape[1:]
    if [height, width] != size:
        note(f"pictures are shrunk from {size[0]}x{size[1]} to {height}x{width} pixels")
    if shown != depth:
        names = ", ".join(map(str, images.display_channels or range(shown)))
        note(f"pictures show {'channels' if shown > 1 else 'channel'} {names} of {depth}")
    exact = images.images.dtype == np.uint8
    if not exact:
        note("pictures show the highest 8 bits of each value")
    return replace(
        items, pictures=pictures, channels=tuple(images.display_channels), exact=bool(exact)
    )


def pixels_of(items: ChosenItems, context: StageContext, rows: NDArray[np.int64]) -> Pixels:
    """Return the stored images (M, C, H, W) of some items; raises as `StageContext.images`."""
    found: Pixels | None = None
    for in_test in (True, False):
        own = np.flatnonzero((items.split[rows] == _TEST) == in_test)
        if not len(own):
            continue
        images = context.images("test" if in_test else "train").images
        part = images[items.index[rows[own]]]
        if len(own) == len(rows):
            return part
        if found is None:
            found = np.empty((len(rows), *part.shape[1:]), part.dtype)
        found[own] = part
    if found is None:
        raise ValueError("no items")
    return found


_AT_ONCE = 1024  # images that are read at once


def _pictures(items: ChosenItems, context: StageContext, channels: Sequence[int]) -> Bytes:
    parts = [
        thumbnails(pixels_of(items, context, rows), channels)
        for rows in np.array_split(np.arange(len(items)), -(-len(items) // _AT_ONCE))
    ]
    return np.concatenate(parts)


def refuse_other_images(first: RunFolder, others: Sequence[RunFolder], *, only_test: bool) -> None:
    """Check that runs are on the same images, so that one page can show them.

    Raises:
        UserError: names two runs on different images.
    """
    splits = ("test",) if only_test else ("test", "train")
    known = first.json(run_files.DATA)["digest"]
    for other in others:
        digest = other.json(run_files.DATA)["digest"]
        for split in splits:
            if digest[split] != known[split]:
                raise UserError(
                    f"run {other.manifest.id} is on other {split} images than run "
                    f"{first.manifest.id}: a page shows runs on the same images, so choose runs on "
                    f"one data set, or write a page for each"
                )
