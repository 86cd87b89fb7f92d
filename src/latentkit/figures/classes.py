"""Points in the colours of their classes, and the legend that names them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, class_style, edge_colour, marker_scale, shown

MOST_CLASSES = 20  # more do not fit a legend
_LAYERS = 12
_POINTS_OF_LAYER = 300
_EDGE = 0.12  # of a point's width, of one that is pale
_LEGEND_SIZE = 6  # points

Group = tuple[str, NDArray[Any], tuple[str, str]]
"""Name, rows, colour and marker of a class."""


def class_groups(
    labels: NDArray[np.integer[Any]] | None, class_names: Sequence[str], n: int
) -> list[Group]:
    """Return the classes of n points; the smallest of very many classes are one grey group.

    Args:
        labels: (N,) or None, which gives one group without a name.
        class_names: name of each label.
        n: number of points.
    """
    if labels is None:
        return [("", np.arange(n), (PALETTE[0], "o"))]
    classes = np.unique(labels)
    groups: list[Group] = []
    if len(classes) > MOST_CLASSES:
        counts = np.bincount(labels)
        kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
        rest = np.flatnonzero(~np.isin(labels, kept))
        groups = [(f"{len(classes) - len(kept)} more classes", rest, ("#dddddd", "o"))]
        classes = kept
    return groups + [
        (shown(class_names, int(c)), np.flatnonzero(labels == c), class_style(int(c)))
        for c in classes
    ]


def scatter_classes(
    axes: Any,
    coordinates: NDArray[np.floating[Any]],
    groups: Sequence[Group],
    size: float,
    *,
    layers: int = _LAYERS,
    alpha: float = 0.8,
) -> None:
    """Draw the classes in thin layers by turns, so that none of them hides another.

    Args:
        axes: of two or three dimensions.
        coordinates: (N, 2) or (N, 3).
        groups: of `class_groups`.
        size: of a dot, in square points; other markers look as large.
        layers: number of turns, where there are many points; few take fewer.
        alpha: opacity.
    """
    layers = min(layers, -(-len(coordinates) // _POINTS_OF_LAYER)) or 1
    for layer in range(layers):
        for _, rows, (colour, marker) in groups:
            axes.scatter(
                *coordinates[rows[layer::layers]].T,
                s=size * marker_scale(marker),
                c=colour,
                marker=marker,
                edgecolors=edge_colour(colour),
                linewidths=_edge_width(colour, size),
                alpha=alpha,
                rasterized=True,
            )


def _edge_width(colour: str, size: float) -> float:
    return 0.0 if edge_colour(colour) == colour else _EDGE * math.sqrt(size)


def marker_width(marker: str, width: float) -> float:
    """Return how wide a marker is that looks as large as a dot so wide."""
    return width * math.sqrt(marker_scale(marker))


def class_legend(figure: Figure, groups: Sequence[Group]) -> None:
    """Name the classes beside the figure, with the number of points."""
    handles = [
        Line2D(
            *([], []),
            ls="none",
            marker=marker,
            mfc=colour,
            mec=edge_colour(colour),
            mew=_edge_width(colour, _LEGEND_SIZE**2),
            ms=marker_width(marker, _LEGEND_SIZE),
        )
        for _, _, (colour, marker) in groups
    ]
    points = sum(len(rows) for _, rows, _ in groups)
    # Given apart from the handles: a label of an artist is left out where it begins with "_".
    names = [name for name, _, _ in groups]
    figure.legend(
        handles,
        names,
        loc="outside right upper",
        title=f"{points:,} points",
        alignment="left",
        fontsize=9,
        labelspacing=0.35,
    )
