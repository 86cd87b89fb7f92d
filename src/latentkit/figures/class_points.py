"""Scatter plots coloured by class, and their legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, class_style, edge_colour, marker_scale, shown

MOST_CLASSES = 20  # more do not fit in a legend
_LAYERS = 12
_POINTS_OF_LAYER = 300
_EDGE = 0.12  # edge width of a pale point, as a share of the point's width
_LEGEND_SIZE = 6  # points

Group = tuple[str, NDArray[Any], tuple[str, str]]
"""A class: its name, the rows of its points, and its colour and marker."""


def class_groups(
    labels: NDArray[np.integer[Any]] | None, class_names: Sequence[str], n: int
) -> list[Group]:
    """Group n points by class.

    With more than `MOST_CLASSES` classes, the smallest ones are merged into one grey group.

    Args:
        labels: (N,), or None for a single group without a name.
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
    alpha: float | NDArray[np.floating[Any]] = 0.8,
) -> None:
    """Draw the classes in alternating thin layers, so that no class hides another.

    Args:
        axes: axes of two or three dimensions.
        coordinates: (N, 2) or (N, 3).
        groups: result of `class_groups`.
        size: size of a dot in square points; other markers are scaled to look as large.
        layers: largest number of layers; small data sets use fewer.
        alpha: opacity of all points, or (N,) of each.
    """
    layers = min(layers, -(-len(coordinates) // _POINTS_OF_LAYER)) or 1
    for layer in range(layers):
        for _, rows, (colour, marker) in groups:
            some = rows[layer::layers]
            axes.scatter(
                *coordinates[some].T,
                s=size * marker_scale(marker),
                c=colour,
                marker=marker,
                edgecolors=edge_colour(colour),
                linewidths=_edge_width(colour, size),
                alpha=alpha if isinstance(alpha, float) else alpha[some],
                rasterized=True,
            )


def _edge_width(colour: str, size: float) -> float:
    return 0.0 if edge_colour(colour) == colour else _EDGE * math.sqrt(size)


def marker_width(marker: str, width: float) -> float:
    """Return the width at which a marker looks as large as a dot of the given width."""
    return width * math.sqrt(marker_scale(marker))


def class_legend(figure: Figure, groups: Sequence[Group]) -> None:
    """Add a legend beside the figure with the class names and the number of points."""
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
    # Passed separately from the handles: matplotlib omits artists whose label begins with "_".
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
