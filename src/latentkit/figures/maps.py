"""Maps: scatter plots of coordinates, coloured by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from latentkit.figures.classes import MOST_CLASSES, class_groups, class_legend, scatter_classes
from latentkit.figures.style import describe, empty_figure, house_style, shown

_NAME_SIZE = 8  # points


def map_scatter(
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    caption: str = "",
    axis_name: str = "",
) -> Figure:
    """Draw a 2-D or 3-D map.

    Args:
        coordinates: (N, 2) or (N, 3).
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure, such as the map's quality.
        axis_name: label of each axis; the axis number is appended.
    """
    flat = coordinates.shape[1] == 2
    with house_style():
        figure = empty_figure(8.0, 6.0)
        axes: Any = figure.add_subplot(projection=None if flat else "3d")
        size = float(np.clip(2e4 / len(coordinates), 4, 28))
        groups = class_groups(labels, class_names, len(coordinates))
        scatter_classes(axes, coordinates, groups, size)
        dress_map(axes, axis_name, flat)
        if flat and labels is not None:
            _name_classes(axes, coordinates, labels, class_names)
        describe(figure, title, caption)
        if labels is not None:
            class_legend(figure, groups)
    return figure


def _name_classes(
    axes: Axes,
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    class_names: Sequence[str],
) -> None:
    """Write each class's name near its median point, without overlaps."""
    classes = np.unique(labels)
    if len(classes) > MOST_CLASSES:
        return
    names = [shown(class_names, int(label)) for label in classes]
    medians = np.array([np.median(coordinates[labels == label], axis=0) for label in classes])
    for name, (x, y) in zip(names, _spread(axes, names, medians), strict=True):
        axes.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            fontsize=_NAME_SIZE,
            weight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _spread(
    axes: Axes, names: Sequence[str], places: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Move names (M,) at positions (M, 2) upwards until they no longer overlap.

    Returns:
        Positions (M, 2) in data coordinates.
    """
    axes.apply_aspect()
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    pixel = axes.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    height = 1.25 * _NAME_SIZE * pixel
    widths = [0.68 * _NAME_SIZE * pixel * len(name) for name in names]
    pixels = to_pixels.transform(places)
    placed: list[int] = []
    for name in np.argsort(pixels[:, 1], kind="stable"):
        for other in placed:
            near = abs(pixels[name, 0] - pixels[other, 0]) < (widths[name] + widths[other]) / 2
            if near and abs(pixels[name, 1] - pixels[other, 1]) < height:
                pixels[name, 1] = pixels[other, 1] + height
        placed.append(int(name))
    return np.asarray(to_data.transform(pixels))


def dress_map(axes: Any, axis_name: str, flat: bool) -> None:
    """Label the axes of a map; give both axes of a 2-D map the same scale."""
    for number, letter in enumerate("xy" if flat else "xyz", 1):
        getattr(axes, f"set_{letter}label")(f"{axis_name} {number}".strip(), fontsize=9)
    axes.tick_params(labelsize=7, colors="#888888")
    if flat:
        axes.set_aspect("equal", adjustable="datalim")
