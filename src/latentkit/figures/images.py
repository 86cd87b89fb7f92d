"""Grids of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.style import shown
from latentkit.figures.tables import image_table


def sample_grid(
    images: NDArray[Any],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    per_row: int = 10,
) -> Figure:
    """Draw a row of images for each class, or at most five unlabelled rows without labels.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1].
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
        per_row: number of images in a row.
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
        original: (N, C, H, W), uint8 or float in [0, 1].
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
    """Draw one grey or colour image (C, H, W), uint8 or float in [0, 1]."""
    axes.imshow(pixels(image), vmin=0, vmax=1, cmap="gray", interpolation="nearest")


def pixels(image: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Convert an image (C, H, W) to matplotlib's layout, (H, W) or (H, W, 3), in [0, 1]."""
    scaled = unit_range(image)
    return scaled[0] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)


def unit_range(images: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Convert images, uint8 or float, to floats in [0, 1]."""
    return images / 255 if images.dtype == np.uint8 else images.clip(0, 1)


def bare(axes: Axes) -> None:
    """Remove ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
