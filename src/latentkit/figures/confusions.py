"""Two classifiers beside each other: what they confuse, how sure they are, examples of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.errors import name_axes
from latentkit.figures.images import image_rows
from latentkit.figures.style import (
    DIVERGING,
    PALETTE,
    SEQUENTIAL,
    cut,
    describe,
    empty_figure,
    house_style,
    shown,
)

_COUNTED = 20  # classes whose shares fit their cells
FEWEST = 10
"""Images that a bin needs for its accuracy to be part of a curve."""
_INK = "#1d2430"

Counts = NDArray[np.integer[Any]]


def confusion_change(
    before: Counts, after: Counts, class_names: Sequence[str], title: str, caption: str = ""
) -> Figure:
    """Draw two confusion matrices side by side, and the difference of their shares.

    Args:
        before: (K, K), counts; true classes down, predicted classes across.
        after: (K, K), as ``before``.
        class_names: name of each class.
        title: of the figure.
        caption: what is said below it.
    """
    shares = [matrix / np.maximum(matrix.sum(1, keepdims=True), 1) for matrix in (before, after)]
    names = [shown(class_names, label) for label in range(len(before))]
    side = float(np.clip(0.36 * len(before), 2.4, 7.0))
    with house_style():
        figure = empty_figure(3 * side + 3.6, side + 1.5)
        left, middle, right = figure.subplots(1, 3)
        for axes, matrix, share, when in (
            (left, before, shares[0], "before"),
            (middle, after, shares[1], "after"),
        ):
            accuracy = np.trace(matrix) / max(int(matrix.sum()), 1)
            picture = axes.imshow(share, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"{when}: accuracy {accuracy:.4f}", fontsize=9)
            _write(axes, share, share > 0.5)
            name_axes(axes, names)
        figure.colorbar(picture, ax=[left, middle], label="share of the true class", shrink=0.7)
        change = shares[1] - shares[0]
        most = max(float(np.abs(change).max()), 0.01)
        picture = right.imshow(
            change, cmap=DIVERGING, vmin=-most, vmax=most, interpolation="nearest"
        )
        right.set_title("after less before", fontsize=9)
        _write(right, change, np.abs(change) < 0.6 * most, signed=True)
        name_axes(right, names)
        figure.colorbar(picture, ax=right, label="change of the share", shrink=0.7)
        for axes in (middle, right):
            axes.set_ylabel("")
        describe(figure, title, caption)
    return figure


def _write(
    axes: Axes,
    values: NDArray[np.floating[Any]],
    dark: NDArray[np.bool_],
    *,
    signed: bool = False,
) -> None:
    """Write percentages into the cells, ``dark`` or white, those that round to 0 left out."""
    if len(values) > _COUNTED:
        return
    for row, column in np.ndindex(values.shape):
        per_cent = round(100 * float(values[row, column]))
        if per_cent:
            colour = _INK if dark[row, column] else "white"
            text = f"{per_cent:+d}" if signed else str(per_cent)
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)


def confused_examples(pairs: Sequence[tuple[str, NDArray[Any]]], title: str) -> Figure:
    """Draw images that were taken for another class, a row for each pair of classes.

    Args:
        pairs: what is said of a pair, and its images (N, C, H, W).
        title: of the figure.
    """
    return image_rows([(cut(name, 60), images) for name, images in pairs], title)


def reliability(
    curves: Sequence[tuple[str, NDArray[np.floating[Any]]]],
    n_images: int,
    title: str,
    caption: str = "",
) -> Figure:
    """Draw how often classifiers are right, over how sure they are.

    Bins of fewer than `FEWEST` images are hollow and no part of a line.

    Args:
        curves: a name, and (B, 3) for each bin: confidence, accuracy, share of the images.
        n_images: in all bins of a curve.
        title: of the figure.
        caption: what is said below it.
    """
    with house_style():
        figure = empty_figure(5.6, 5.2)
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        upper.plot([0, 1], [0, 1], ":", color=_INK, lw=1, label="as right as sure")
        for (name, bins), colour, marker in zip(curves, PALETTE[1::-1], "so", strict=False):
            confidence, accuracy, share = bins.T
            look: Any = {"ms": 4, "color": colour}
            few = too_few(bins, n_images)
            sure = np.where(few, np.nan, accuracy)
            upper.plot(confidence, sure, f"{marker}-", label=name, clip_on=False, **look)
            look_few: Any = {**look, "mfc": "white", "alpha": 0.5, "clip_on": False}
            upper.plot(confidence[few], accuracy[few], marker, **look_few)
            lower.plot(confidence, share, f"{marker}-", **look)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        lower.set(xlabel="confidence", ylabel="share of images", ylim=(0, None))
        for axes in (upper, lower):
            axes.grid(alpha=0.25)
        upper.legend()
        describe(figure, title, caption)
    return figure


def too_few(bins: NDArray[np.floating[Any]], n_images: int) -> NDArray[np.bool_]:
    """Return which bins (B, 3) of `reliability` hold fewer than `FEWEST` images."""
    return np.asarray(np.rint(bins[:, 2] * n_images) < FEWEST)
