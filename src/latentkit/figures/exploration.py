"""Figures of latent space exploration: traversals, and a decoded plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.classes import class_groups, class_legend, scatter_classes
from latentkit.figures.style import empty_figure, house_style
from latentkit.figures.tables import image_table, in_colour, wrapped

_POINTS = 3000
_POINT = 14  # square points
_GAP = 1.2  # points between tiles


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
        sigmas: (S,), value of the dimension in each column, in standard deviations.
        row_names: (M,), names of the dimensions.
        title: figure title.
        caption: text below the figure.
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
    """Draw a decoded plane, and the same plane with latents drawn over it.

    Args:
        images: (R, K, C, H, W), in [0, 1]; ``y`` increases upwards.
        x: (K,), positions of the columns, in latent units.
        y: (R,), positions of the rows, in latent units.
        axis_names: names of the plane's two axes.
        points: (N, 2), latents in the plane's coordinates.
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure.
    """
    canvas = np.concatenate(
        [np.concatenate([in_colour(image) for image in row], axis=1) for row in images[::-1]]
    )
    half = [(axis[1] - axis[0]) / 2 for axis in (x, y)]
    extent = (x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1])
    with house_style():
        figure = empty_figure(11.5, 5.6)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, shades in zip(panels, (canvas, _pale(canvas)), strict=True):
            axes.imshow(shades, extent=extent, interpolation="nearest", aspect="auto")
            _part(axes, x, y)
            axes.set_box_aspect(1)
            axes.set_xlabel(f"{axis_names[0]}, latent units", fontsize=9)
            axes.tick_params(labelsize=7, colors="#888888")
        panels[0].set_ylabel(f"{axis_names[1]}, latent units", fontsize=9)
        rows = _drawn(points, np.array(extent))
        own = None if labels is None else labels[rows]
        groups = class_groups(own, class_names, len(rows))
        scatter_classes(panels[1], points[rows], groups, _POINT)
        panels[0].set_title("decoded", fontsize=10)
        panels[1].set_title(f"with {len(rows):,} of {len(points):,} test latents", fontsize=10)
        panels[1].set(xlim=extent[:2], ylim=extent[2:])
        if labels is not None:
            class_legend(figure, groups)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        if caption:
            figure.supxlabel(wrapped(caption, 11.5), x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def _part(axes: Axes, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> None:
    """Draw thin white lines between the tiles centred at x (K,) and y (R,)."""
    for places, line in ((x, axes.axvline), (y, axes.axhline)):
        for place in (places[1:] + places[:-1]) / 2:
            line(place, color="white", lw=_GAP, zorder=0.5)


def _drawn(
    points: NDArray[np.floating[Any]], extent: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Return the rows of the points within the axes, evenly thinned to at most `_POINTS`."""
    low, high = extent[::2], extent[1::2]
    inside = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    few = np.unique(np.linspace(0, len(inside) - 1, min(_POINTS, len(inside))).astype(int))
    return np.asarray(inside[few], np.int64)


def _pale(canvas: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return a pale canvas (H, W, 3) to draw points on; invert grey images that are mostly dark."""
    grey = (canvas == canvas[..., :1]).all()
    return 1 - 0.3 * (canvas if grey and canvas.mean() < 0.5 else 1 - canvas)
