"""Tables of images with row and column names, drawn as one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.style import empty_figure, house_style

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
        column_names: (K,), or empty.
        title: figure title.
        notes: for each row, a text for each column, or an empty row; empty for no notes.
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
    enlarged = image.repeat(grow, axis=1).repeat(grow, axis=2)
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
