"""A map with thumbnails of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from latentkit.figures.classes import class_groups, class_legend, scatter_classes
from latentkit.figures.images import pixels
from latentkit.figures.maps import dress_map
from latentkit.figures.style import PALETTE, class_style, describe, empty_figure, house_style

_SIZE = 11.5, 9.0  # inches
_PLOT = 8.0  # inches, approximate width of the map itself
_THUMBNAIL = 0.33  # inches, the longer side
_GAP = 1.08  # least distance of two thumbnails, in thumbnail sides


def map_thumbnails(
    coordinates: NDArray[np.floating[Any]],
    images: NDArray[Any],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    caption: str = "",
    axis_name: str = "",
) -> Figure:
    """Draw a 2-D map with as many thumbnails as fit without overlap.

    Args:
        coordinates: (N, 2).
        images: (N, C, H, W), uint8 or float in [0, 1], in the order of the coordinates.
        labels: (N,) or None; the frame of a thumbnail has the colour of its class.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure, such as the map's quality.
        axis_name: label of each axis; the axis number is appended.
    """
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    unit = float((high - low).max()) / _PLOT or 1.0  # map units per inch
    sides = np.array(images.shape[:1:-1]) / max(images.shape[2:]) * _THUMBNAIL * unit
    chosen = _side_by_side(coordinates, sides * _GAP)
    with house_style():
        figure = empty_figure(*_SIZE)
        axes = figure.subplots()
        groups = class_groups(labels, class_names, len(coordinates))
        scatter_classes(axes, coordinates, groups, 5, alpha=0.5)
        for row in chosen:
            colour = PALETTE[0] if labels is None else class_style(int(labels[row]))[0]
            _lay(axes, coordinates[row], images[row], sides, colour)
        axes.autoscale_view()
        dress_map(axes, axis_name, flat=True)
        said = f"{len(chosen):,} of {len(coordinates):,} images are shown, each at its own point."
        describe(figure, title, f"{caption.rstrip('. ')}. {said}" if caption else said)
        if labels is not None:
            class_legend(figure, groups)
    return figure


def _side_by_side(
    points: NDArray[np.floating[Any]], sides: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Return rows of points (N, 2), chosen in random order, whose boxes do not overlap."""
    placed = np.full((len(points), 2), np.inf)
    rows: list[int] = []
    for row in np.random.default_rng(0).permutation(len(points)):
        apart = np.abs(placed[: len(rows)] - points[row]) >= sides
        if apart.any(axis=1).all():
            placed[len(rows)] = points[row]
            rows.append(int(row))
    return np.array(rows, dtype=np.int64)


def _lay(
    axes: Any,
    centre: NDArray[np.floating[Any]],
    image: NDArray[Any],
    sides: NDArray[np.floating[Any]],
    colour: str,
) -> None:
    left, bottom = centre - sides / 2
    right, top = centre + sides / 2
    drawn = AxesImage(
        axes, cmap="gray", interpolation="nearest", extent=(left, right, bottom, top), zorder=3
    )
    drawn.set_data(pixels(image))
    drawn.set_clim(0, 1)
    axes.add_image(drawn)
    axes.add_patch(
        Rectangle((left, bottom), *sides, fill=False, edgecolor=colour, linewidth=1.2, zorder=4)
    )
