"""Several small maps of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.classes import class_groups, class_legend, scatter_classes
from latentkit.figures.style import describe, empty_figure, house_style

_COLUMNS = 3
_PANEL = 2.9  # inches
_LEGEND = 1.8


@dataclass(frozen=True)
class Panel:
    """One small map.

    Args:
        title: text above it.
        note: text below it, such as the meaning of its axes.
        coordinates: (N, 2).
        labels: (N,) or None.
    """

    title: str
    note: str
    coordinates: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]] | None


def map_grid(
    panels: Sequence[Panel], class_names: Sequence[str], title: str, caption: str = ""
) -> Figure:
    """Draw maps side by side, with one legend for all of them.

    Args:
        panels: one map or more, all of the same images.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure.
    """
    columns = min(_COLUMNS, max(2, len(panels)))  # one column would be narrower than the title
    lines = -(-len(panels) // columns)
    with house_style():
        width = columns * _PANEL + (_LEGEND if panels[0].labels is not None else 0.2)
        figure = empty_figure(width, lines * (_PANEL + 0.2) + 0.6)
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            count = len(panel.coordinates)
            groups = class_groups(panel.labels, class_names, count)
            size = float(np.clip(6e3 / count, 1.5, 14))
            scatter_classes(axes, panel.coordinates, groups, size, layers=4)
            axes.set_title(panel.title, fontsize=9)
            axes.set_xlabel(panel.note, fontsize=8, color="#555555")
            axes.set(xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="datalim")
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        describe(figure, title, caption)
        if panels[0].labels is not None:
            class_legend(figure, class_groups(panels[0].labels, class_names, count))
    return figure
