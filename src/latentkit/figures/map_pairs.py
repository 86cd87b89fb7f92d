"""Two maps of the same points, the second aligned to the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.classes import (
    MOST_CLASSES,
    class_groups,
    class_legend,
    marker_width,
    scatter_classes,
)
from latentkit.figures.maps import dress_map
from latentkit.figures.style import class_style, describe, edge_colour, empty_figure, house_style

_PALE = 0.12


def map_pair(
    before: NDArray[np.floating[Any]],
    after: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    class_names: Sequence[str],
    title: str,
    caption: str = "",
    axis_name: str = "",
) -> Figure:
    """Draw a map before and after on the same axes, and how the classes moved.

    The third panel has an arrow for each class, from its median before to its median after. Of
    three-dimensional maps, the first two dimensions are drawn.

    Args:
        before: (N, 2) or (N, 3).
        after: as ``before``, aligned to it.
        labels: (N,).
        class_names: name of each label.
        title: figure title.
        caption: text below the figure, such as the maps' quality.
        axis_name: label of each axis; the axis number is appended.
    """
    flat = [np.asarray(points)[:, :2] for points in (before, after)]
    with house_style():
        figure = empty_figure(13.5, 5.0)
        panels = figure.subplots(1, 3)
        groups = class_groups(labels, class_names, len(labels))
        size = float(np.clip(1e4 / len(labels), 3, 20))
        for axes, points, name in zip(panels, flat, ("before", "after"), strict=False):
            scatter_classes(axes, points, groups, size)
            axes.set_title(name, fontsize=10)
        panels[2].set_title("class medians, from before to after", fontsize=10)
        for points in flat:
            scatter_classes(panels[2], points, groups, size, layers=1, alpha=_PALE)
        _arrows(panels[2], flat[0], flat[1], labels)
        low, high = np.concatenate(flat).min(0), np.concatenate(flat).max(0)
        for axes in panels:  # panels of equal size with equal data limits show the same region
            axes.update_datalim([low, high])
            axes.autoscale_view()
            dress_map(axes, axis_name, flat=True)
        describe(figure, title, caption)
        class_legend(figure, groups)
    return figure


def _arrows(
    axes: Any,
    before: NDArray[np.floating[Any]],
    after: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
) -> None:
    classes = np.unique(labels)
    if len(classes) > MOST_CLASSES:
        return
    for label in classes:
        start, end = (np.median(points[labels == label], axis=0) for points in (before, after))
        colour, marker = class_style(int(label))
        axes.annotate(
            "",
            xy=end,
            xytext=start,
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#1d2430",
                "lw": 1.2,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        look: Any = {"marker": marker, "ls": "none"}
        edge = edge_colour(colour)
        axes.plot(*start, ms=marker_width(marker, 5), mfc="white", mec=edge, **look)
        axes.plot(*end, ms=marker_width(marker, 8), mfc=colour, mec="#1d2430", **look)
