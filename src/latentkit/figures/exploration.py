"""Walks through a latent space, samples and neighbours: tables of images, and a decoded plane."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, class_style, empty_figure, house_style, shown

_TILE_INCHES = 0.72
_TILE_PIXELS = 64  # at least, so that gaps are even
_NAME_INCHES = 0.085  # a character of a row's name
_MOST_CLASSES = 20  # more do not fit a legend
_POINTS = 3000


def image_table(
    cells: NDArray[np.floating[Any]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str,
    *,
    notes: Sequence[Sequence[str]] = (),
    caption: str = "",
) -> Figure:
    """Draw images in rows and columns, each with its name, and a note below each image.

    Args:
        cells: (R, K, C, H, W), in [0, 1]; a cell that begins with NaN stays empty.
        row_names: (R,); may have several lines.
        column_names: (K,).
        title: of the figure.
        notes: (R, K) texts, or nothing.
        caption: what is said below.
    """
    rows, columns, _, height, width = cells.shape
    grow = -(-_TILE_PIXELS // max(height, width))
    tile = np.array([height, width]) * grow
    gap = max(2, int(tile[1]) // 12)
    pitch = tile + np.array([gap + (int(tile[0]) // 3 if notes else 0), gap])
    canvas = np.ones((*(pitch * [rows, columns] - gap * np.array([not notes, 1])), 3))
    for row, column in np.ndindex(rows, columns):
        image = cells[row, column]
        if not np.isnan(image.flat[0]):
            top, left = pitch * [row, column]
            canvas[top : top + tile[0], left : left + tile[1]] = _colour(image, grow)
    inches = _TILE_INCHES * canvas.shape[0] / tile[1], _TILE_INCHES * canvas.shape[1] / tile[1]
    with house_style():
        margin = _NAME_INCHES * _longest(row_names) + 0.3
        said = _wrapped(caption, inches[1] + margin)
        needed = _NAME_INCHES * 1.1 * len(title)
        size = max(inches[1] + margin, needed), inches[0] + 0.85 + 0.14 * (said.count("\n") + 1)
        figure = empty_figure(*size)
        axes = figure.subplots()
        axes.imshow(canvas, interpolation="nearest")
        middles = [
            pitch[axis] * np.arange(n) + tile[axis] / 2 for axis, n in enumerate(cells.shape[:2])
        ]
        _name_cells(axes, middles, row_names, column_names)
        for row, texts in enumerate(notes):
            for column, text in enumerate(texts):
                place = middles[1][column], pitch[0] * row + tile[0] + gap / 3
                axes.text(*place, text, ha="center", va="top", fontsize=6.5, color="#444444")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        if said:
            figure.supxlabel(said, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def traversal_table(
    images: NDArray[np.floating[Any]],
    sigmas: NDArray[np.floating[Any]],
    row_names: Sequence[str],
    title: str,
    caption: str = "",
) -> Figure:
    """Draw a row of images for each latent dimension.

    Args:
        images: (M, S, C, H, W), in [0, 1].
        sigmas: (S,), where the dimension is set in each column.
        row_names: (M,), of the dimensions.
        title: of the figure.
        caption: what is said below.
    """
    heads = [f"{sigma:+.3g}σ" if sigma else "0" for sigma in np.round(sigmas, 6)]
    return image_table(images, row_names, heads, title, caption=caption)


def manifold_figure(
    images: NDArray[np.floating[Any]],
    x: NDArray[np.floating[Any]],
    y: NDArray[np.floating[Any]],
    axis_names: tuple[str, str],
    points: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    caption: str = "",
) -> Figure:
    """Draw a decoded plane, and the same plane under the latents that lie near it.

    Args:
        images: (R, K, C, H, W), in [0, 1]; rows go up with ``y``.
        x: (K,), places of the columns, in latent units.
        y: (R,), places of the rows.
        axis_names: of the plane.
        points: (N, 2), latents on the plane.
        labels: (N,) or None.
        class_names: name of each label.
        title: of the figure.
        caption: what is said below.
    """
    canvas = np.concatenate(
        [np.concatenate([_colour(image, 1) for image in row], axis=1) for row in images[::-1]]
    )
    half = [(axis[1] - axis[0]) / 2 for axis in (x, y)]
    extent = (x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1])
    with house_style():
        figure = empty_figure(11.5, 5.6)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, shades in zip(panels, (canvas, _pale(canvas)), strict=True):
            axes.imshow(shades, extent=extent, interpolation="nearest", aspect="auto")
            axes.set_box_aspect(1)
            axes.set_xlabel(f"{axis_names[0]}, latent units", fontsize=9)
            axes.tick_params(labelsize=7, colors="#888888")
        panels[0].set_ylabel(f"{axis_names[1]}, latent units", fontsize=9)
        drawn = _scatter(panels[1], points, labels, class_names)
        panels[0].set_title("decoded", fontsize=10)
        panels[1].set_title(f"under {drawn:,} of {len(points):,} test latents", fontsize=10)
        panels[1].set(xlim=extent[:2], ylim=extent[2:])
        if panels[1].get_legend_handles_labels()[0]:
            figure.legend(loc="outside right upper", markerscale=2)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        if caption:
            figure.supxlabel(
                _wrapped(caption, 11.5), x=0.01, ha="left", fontsize=8, color="#555555"
            )
    return figure


def _scatter(
    axes: Axes,
    points: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
) -> int:
    """Draw points by class, evenly thinned out where they are many; return how many."""
    rows = np.unique(np.linspace(0, len(points) - 1, min(_POINTS, len(points))).astype(int))
    look: dict[str, Any] = {"s": 12, "linewidths": 0, "alpha": 0.8, "rasterized": True}
    if labels is None or len(np.unique(labels)) > _MOST_CLASSES:
        axes.scatter(points[rows, 0], points[rows, 1], c=PALETTE[0], **look)
        return len(rows)
    for label in np.unique(labels):
        own = rows[labels[rows] == label]
        colour, marker = class_style(int(label))
        name = shown(class_names, int(label))
        axes.scatter(points[own, 0], points[own, 1], c=colour, marker=marker, label=name, **look)
    return len(rows)


def _colour(image: NDArray[np.floating[Any]], grow: int) -> NDArray[np.floating[Any]]:
    """Return an image (C, H, W) as (H grow, W grow, 3)."""
    enlarged = image.repeat(grow, axis=1).repeat(grow, axis=2)
    return np.broadcast_to(np.moveaxis(enlarged, 0, -1), (*enlarged.shape[1:], 3)).clip(0, 1)


def _pale(canvas: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return a canvas (H, W, 3) to draw points on: grey ones that are mostly dark are inverted."""
    grey = (canvas == canvas[..., :1]).all()
    return 1 - 0.3 * (canvas if grey and canvas.mean() < 0.5 else 1 - canvas)


def _name_cells(
    axes: Axes,
    middles: Sequence[NDArray[np.floating[Any]]],
    row_names: Sequence[str],
    column_names: Sequence[str],
) -> None:
    axes.set_yticks(middles[0], row_names, fontsize=8)
    axes.set_xticks(middles[1], column_names, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _longest(names: Sequence[str]) -> int:
    return max((len(line) for name in names for line in name.split("\n")), default=0)


def _wrapped(text: str, inches: float) -> str:
    return textwrap.fill(text, max(40, int(inches * 14)))
