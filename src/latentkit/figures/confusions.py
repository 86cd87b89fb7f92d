"""Two classifiers compared: confusion matrices, calibration and examples of errors."""

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

_COUNTED = 20  # with more classes, percentages do not fit in the cells
FEWEST = 10
"""Least number of images in a bin whose accuracy is part of a curve."""
_INK = "#1d2430"

Counts = NDArray[np.integer[Any]]


def confusion_change(
    before: Counts, after: Counts, class_names: Sequence[str], title: str, caption: str = ""
) -> Figure:
    """Draw two confusion matrices and the difference of their shares side by side.

    Args:
        before: (K, K), counts; rows are true classes, columns are predicted classes.
        after: (K, K), as ``before``.
        class_names: name of each class.
        title: figure title.
        caption: text below the figure.
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
        right.set_title("after minus before", fontsize=9)
        _write(right, change, np.abs(change) < 0.6 * most, signed=True)
        name_axes(right, names)
        figure.colorbar(picture, ax=right, label="change in share", shrink=0.7)
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
    """Write percentages into the cells, in dark or white text; omit those that round to 0."""
    if len(values) > _COUNTED:
        return
    for row, column in np.ndindex(values.shape):
        per_cent = round(100 * float(values[row, column]))
        if per_cent:
            colour = _INK if dark[row, column] else "white"
            text = f"{per_cent:+d}" if signed else str(per_cent)
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)


def confused_examples(pairs: Sequence[tuple[str, NDArray[Any]]], title: str) -> Figure:
    """Draw misclassified images, one row for each pair of true and predicted class.

    Args:
        pairs: the label of each pair, and its images (N, C, H, W).
        title: figure title.
    """
    return image_rows([(cut(name, 60), images) for name, images in pairs], title)


def reliability(
    curves: Sequence[tuple[str, NDArray[np.floating[Any]]]],
    n_images: int,
    title: str,
    caption: str = "",
) -> Figure:
    """Draw a reliability diagram: accuracy over confidence.

    Bins with fewer than `FEWEST` images are drawn hollow and are not joined by the line.

    Args:
        curves: name of each classifier, and (B, 3) for its bins: confidence, accuracy, share of
            the images.
        n_images: number of images in all bins of a curve.
        title: figure title.
        caption: text below the figure.
    """
    with house_style():
        figure = empty_figure(5.6, 5.2)
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        upper.plot([0, 1], [0, 1], ":", color=_INK, lw=1, label="perfect calibration")
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
    """Return which bins (B, 3) of `reliability` have fewer than `FEWEST` images."""
    return np.asarray(np.rint(bins[:, 2] * n_images) < FEWEST)
