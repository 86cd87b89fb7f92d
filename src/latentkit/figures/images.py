"""Grids of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.style import empty_figure, house_style, shown

_INCHES = 0.72  # an image in a grid
_MARGIN = 1.3  # for row titles


def sample_grid(
    images: NDArray[Any],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    per_row: int = 10,
) -> Figure:
    """Draw a row of images for each class, or plain rows where there are no labels.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1].
        labels: (N,) or None.
        class_names: name of each label.
        title: of the figure.
        per_row: images in a row.
    """
    rows: list[tuple[str, NDArray[Any]]]
    if labels is None:
        count = max(1, min(5, len(images) // per_row))
        rows = [("", images[r * per_row : (r + 1) * per_row]) for r in range(count)]
    else:
        rows = [
            (shown(class_names, int(label)), images[labels == label][:per_row])
            for label in np.unique(labels)
        ]
    return image_rows(rows, title)


def reconstruction_rows(
    rows: Sequence[tuple[str, NDArray[Any]]], errors: NDArray[np.floating[Any]], title: str
) -> Figure:
    """Draw originals above what became of them, the error of each below.

    Args:
        rows: a title and images (N, C, H, W) for each row, in the same order.
        errors: (N,) mean squared error a pixel of the last row.
        title: of the figure.
    """
    figure = image_rows(rows, title)
    bottom = figure.axes[-len(errors) :]
    for axes, error in zip(bottom, errors, strict=True):
        axes.set_xlabel(f"{error:.4f}", fontsize=7, labelpad=2)
    return figure


def image_rows(rows: Sequence[tuple[str, NDArray[Any]]], title: str) -> Figure:
    """Draw titled rows of images (N, C, H, W)."""
    columns = max(len(images) for _, images in rows)
    with house_style():
        figure = empty_figure(columns * _INCHES + _MARGIN, len(rows) * (_INCHES + 0.06) + 0.5)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for (name, images), line in zip(rows, grid, strict=True):
            for axes in line:
                bare(axes)
            for axes, image in zip(line, images, strict=False):
                show_image(axes, image)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure


def show_image(axes: Axes, image: NDArray[Any]) -> None:
    """Draw one image (C, H, W), uint8 or float in [0, 1], grey or colour."""
    scaled = image / 255 if image.dtype == np.uint8 else image
    shown_image = scaled[0] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)
    axes.imshow(shown_image, vmin=0, vmax=1, cmap="gray", interpolation="nearest")


def bare(axes: Axes) -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
