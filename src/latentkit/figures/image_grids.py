"""Images in grids and in tables with row and column names."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.shown_images import displayed, unit_range
from latentkit.figures.style import empty_figure, house_style, shown

_TILE_INCHES = 0.72
_TILE_PIXELS = 64  # least size of a tile, so that gaps look even
_LETTER_INCHES = 0.085  # width of a letter in a row's name
_NOTE_SHARE = 3  # an image is this many times as high as the note below it


def image_table(
    cells: NDArray[np.floating[Any]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str,
    *,
    notes: Sequence[Sequence[str]] = (),
    caption: str = "",
) -> Figure:
    """Draw images in named rows and columns, with a note below each image.

    All images are drawn as one picture, which is ten times as fast as one axes per image.

    Args:
        cells: (R, K, C, H, W), in [0, 1]; a cell that begins with NaN stays empty.
        row_names: (R,); may have several lines.
        column_names: (K,), or empty for no names.
        title: figure title.
        notes: for each row, a list of one text for each column. An empty list leaves the row
            without notes.
        caption: text below the figure.
    """
    canvas, tops, lefts, tile = _canvas(cells, [bool(note) for note in notes])
    inches = [_TILE_INCHES * side / tile[1] for side in canvas.shape[:2]]
    with house_style():
        margin = _LETTER_INCHES * _longest(row_names) + 0.3
        width = max(inches[1] + margin, _LETTER_INCHES * 1.1 * len(title), 3.4)
        said = wrapped(caption, width)
        below = 0.14 * (said.count("\n") + 1) if said else 0
        figure = empty_figure(width, inches[0] + (0.7 if column_names else 0.55) + below)
        axes = figure.subplots()
        axes.imshow(canvas, interpolation="nearest")
        middles = tops + tile[0] / 2, lefts + tile[1] / 2
        _name_cells(axes, middles, row_names, column_names)
        for top, texts in zip(tops, notes, strict=False):
            for x, text in zip(middles[1], texts, strict=False):
                place = x, top + tile[0] * (1 + 0.1 / _NOTE_SHARE)
                axes.text(*place, text, ha="center", va="top", fontsize=6.5, color="#444444")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        if said:
            figure.supxlabel(said, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def _canvas(
    cells: NDArray[np.floating[Any]], noted: Sequence[bool]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], tuple[int, int]]:
    """Place all images on one white canvas.

    Returns:
        The canvas (H, W, 3), the top of each row, the left edge of each column, and the height and
        width of a tile, all in pixels.
    """
    rows, columns, _, height, width = cells.shape
    grow = -(-_TILE_PIXELS // max(height, width))
    tile = height * grow, width * grow
    gap = max(2, tile[1] // 12)
    room = np.zeros(rows, dtype=np.int64)
    room[: len(noted)] = np.where(noted, tile[0] // _NOTE_SHARE, 0)
    ends = np.cumsum(tile[0] + room + gap)
    tops, lefts = ends - (tile[0] + room + gap), np.arange(columns) * (tile[1] + gap)
    canvas = np.ones((ends[-1] - gap, lefts[-1] + tile[1], 3))
    for row, column in np.ndindex(rows, columns):
        if not np.isnan(cells[row, column].flat[0]):
            top, left = tops[row], lefts[column]
            canvas[top : top + tile[0], left : left + tile[1]] = in_colour(cells[row, column], grow)
    return canvas, tops, lefts, tile


def in_colour(image: NDArray[np.floating[Any]], grow: int = 1) -> NDArray[np.floating[Any]]:
    """Enlarge an image (C, H, W) to colour pixels (H * grow, W * grow, 3), in [0, 1]."""
    enlarged = displayed(image).repeat(grow, axis=1).repeat(grow, axis=2)
    return np.broadcast_to(np.moveaxis(enlarged, 0, -1), (*enlarged.shape[1:], 3)).clip(0, 1)


def wrapped(text: str, inches: float) -> str:
    """Wrap a caption to the width of a figure, in inches."""
    return textwrap.fill(text, max(40, int(inches * 14)))


def _name_cells(
    axes: Axes,
    middles: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]],
    row_names: Sequence[str],
    column_names: Sequence[str],
) -> None:
    axes.set_yticks(middles[0], row_names, fontsize=8)
    axes.set_xticks(middles[1] if column_names else [], column_names, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _longest(names: Sequence[str]) -> int:
    return max((len(line) for name in names for line in name.split("\n")), default=0)


def sample_grid(
    images: NDArray[Any],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    per_row: int = 10,
    channels: Sequence[int] = (),
) -> Figure:
    """Draw a row of images for each class, or at most five unlabelled rows without labels.

    Args:
        images: (N, C, H, W), uint8, uint16 or float in [0, 1].
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
        per_row: number of images in a row.
        channels: the channels that are shown, as in `displayed`.
    """
    rows: list[tuple[str, NDArray[Any]]]
    if labels is None:
        count = max(1, min(5, len(images) // per_row))
        rows = [("", images[r * per_row : (r + 1) * per_row]) for r in range(count)]
    else:
        rows = [
            (shown(class_names, int(label)), images[np.flatnonzero(labels == label)[:per_row]])
            for label in np.unique(labels)
        ]
    return image_rows([(name, displayed(row, channels)) for name, row in rows], title)


def reconstruction_rows(
    rows: Sequence[tuple[str, NDArray[Any]]], errors: NDArray[np.floating[Any]], title: str
) -> Figure:
    """Draw originals above their reconstructions, with the error of each below it.

    Args:
        rows: a title and images (N, C, H, W) for each row, in the same order.
        errors: (N,), mean squared error per pixel of the images in the last row.
        title: figure title.
    """
    return image_rows(rows, title, {len(rows) - 1: errors})


def several_reconstructions(
    original: NDArray[Any],
    rows: Sequence[tuple[str, NDArray[Any], NDArray[np.floating[Any]]]],
    title: str,
) -> Figure:
    """Draw images above their reconstructions in several settings, such as epochs.

    Args:
        original: (N, C, H, W), uint8, uint16 or float in [0, 1].
        rows: for each setting, its label, reconstructions (N, C, H, W) and their (N,) mean
            squared errors per pixel.
        title: figure title.
    """
    pictures = [("original", original), *((label, images) for label, images, _ in rows)]
    errors = {number: found for number, (_, _, found) in enumerate(rows, 1)}
    return image_rows(pictures, title, errors)


def image_rows(
    rows: Sequence[tuple[str, NDArray[Any]]],
    title: str,
    errors: Mapping[int, NDArray[np.floating[Any]]] = MappingProxyType({}),
) -> Figure:
    """Draw titled rows of images.

    Args:
        rows: a title and images (N, C, H, W) for each row; N may differ.
        title: figure title.
        errors: by row index, the mean squared error of each image, which is written below it.
    """
    columns = max(len(images) for _, images in rows)
    cells = np.full((len(rows), columns, *rows[0][1].shape[1:]), np.nan)
    for row, (_, images) in enumerate(rows):
        cells[row, : len(images)] = unit_range(images)
    return image_table(
        cells,
        [name for name, _ in rows],
        (),
        title,
        notes=[[f"{error:.4f}" for error in errors.get(row, ())] for row in range(len(rows))],
        caption="Numbers: mean squared error per pixel." if errors else "",
    )


def show_image(axes: Axes, image: NDArray[Any]) -> None:
    """Draw one image (C, H, W), uint8, uint16 or float in [0, 1]."""
    axes.imshow(pixels(image), vmin=0, vmax=1, cmap="gray", interpolation="nearest")


def pixels(image: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Convert an image (C, H, W) to matplotlib's layout, (H, W) or (H, W, 3), in [0, 1]."""
    scaled = unit_range(displayed(image))
    return scaled[0] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)


def bare(axes: Axes) -> None:
    """Remove ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
