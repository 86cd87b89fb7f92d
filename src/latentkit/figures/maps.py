"""Maps: coordinates coloured by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, class_style, empty_figure, house_style, shown

_MOST_CLASSES = 20  # more do not fit a legend


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
        title: of the figure.
        caption: what is said below it, such as the map's quality.
        axis_name: what the axes are called, followed by their number.
    """
    flat = coordinates.shape[1] == 2
    with house_style():
        figure = empty_figure(8.0, 6.0)
        axes: Any = figure.add_subplot(projection=None if flat else "3d")
        size = float(np.clip(2e4 / len(coordinates), 3, 28))
        for name, rows, (colour, marker) in _groups(labels, class_names, len(coordinates)):
            axes.scatter(
                *coordinates[rows].T,
                s=size,
                c=colour,
                marker=marker,
                linewidths=0,
                alpha=0.75,
                label=name,
                rasterized=True,
            )
        if flat and labels is not None:
            _name_classes(axes, coordinates, labels, class_names)
        _dress(axes, axis_name, flat)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        if caption:
            figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color="#555555")
        if labels is not None:
            figure.legend(loc="outside right upper", markerscale=max(1.0, 5 / np.sqrt(size)))
    return figure


def _groups(
    labels: NDArray[np.integer[Any]] | None, class_names: Sequence[str], n: int
) -> list[tuple[str, NDArray[Any], tuple[str, str]]]:
    if labels is None:
        return [("", np.arange(n), (PALETTE[0], "o"))]
    classes = np.unique(labels)
    if len(classes) > _MOST_CLASSES:
        counts = np.bincount(labels)
        kept = np.sort(np.argsort(-counts, kind="stable")[:_MOST_CLASSES])
        rest = np.flatnonzero(~np.isin(labels, kept))
        groups = [(f"{len(classes) - len(kept)} more classes", rest, ("#dddddd", "o"))]
    else:
        kept, groups = classes, []
    return groups + [
        (shown(class_names, int(c)), np.flatnonzero(labels == c), class_style(int(c))) for c in kept
    ]


def _name_classes(
    axes: Axes,
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    class_names: Sequence[str],
) -> None:
    """Write each class's name over its median point."""
    classes = np.unique(labels)
    if len(classes) > _MOST_CLASSES:
        return
    for label in classes:
        x, y = np.median(coordinates[labels == label], axis=0)
        axes.text(
            x,
            y,
            shown(class_names, int(label)),
            ha="center",
            va="center",
            fontsize=8,
            weight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _dress(axes: Any, axis_name: str, flat: bool) -> None:
    for number, letter in enumerate("xy" if flat else "xyz", 1):
        getattr(axes, f"set_{letter}label")(f"{axis_name} {number}".strip(), fontsize=9)
    axes.tick_params(labelsize=7, colors="#888888")
    if flat:
        axes.set_aspect("equal", adjustable="datalim")
