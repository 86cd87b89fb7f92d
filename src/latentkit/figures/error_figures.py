"""Figures of errors: per image, per class, under corruption, and of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.image_grids import bare, show_image
from latentkit.figures.style import (
    PALETTE,
    SEQUENTIAL,
    bins,
    describe,
    empty_figure,
    house_style,
    shown,
)

_COUNTED = 20  # with more classes, counts do not fit in the cells
_NAMED = 60  # with more classes, some have no tick label
_INK = "#1d2430"


def error_histogram(
    errors: NDArray[np.floating[Any]],
    images_best: NDArray[Any],
    rebuilt_best: NDArray[Any],
    errors_best: NDArray[np.floating[Any]],
    images_worst: NDArray[Any],
    rebuilt_worst: NDArray[Any],
    errors_worst: NDArray[np.floating[Any]],
    title: str,
) -> Figure:
    """Draw the histogram of errors, and the best and worst images with their reconstructions.

    Args:
        errors: (N,), mean squared error per pixel of each image.
        images_best: (K, C, H, W), uint8 or float in [0, 1].
        rebuilt_best: (K, C, H, W), their reconstructions.
        errors_best: (K,), their errors.
        images_worst: (K, C, H, W), as ``images_best``.
        rebuilt_worst: (K, C, H, W), their reconstructions.
        errors_worst: (K,), their errors.
        title: figure title.
    """
    columns = max(1, len(images_best), len(images_worst))
    with house_style():
        figure = empty_figure(max(7.5, 2 * columns * 0.75 + 1.0), 5.2)
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.35, 1))
        upper, lower = parts
        _histogram(upper.subplots(), errors)
        halves = lower.subfigures(1, 2)
        _pairs(halves[0], "least error", images_best, rebuilt_best, errors_best, columns)
        _pairs(halves[1], "largest error", images_worst, rebuilt_worst, errors_worst, columns)
        describe(figure, title)
    return figure


def _histogram(axes: Axes, errors: NDArray[np.floating[Any]]) -> None:
    axes.hist(errors, bins=bins(len(errors)), color=PALETTE[0], label=f"{len(errors):,} images")
    for level, name, style in ((50, "median", "-"), (95, "95th percentile", "--")):
        value = np.percentile(errors, level)
        axes.axvline(value, color=_INK, ls=style, lw=1, label=f"{name}: {value:.4f}")
    axes.set(xlabel="mean squared error per pixel", ylabel="images")
    axes.legend()


def _pairs(
    part: Any,
    name: str,
    images: NDArray[Any],
    rebuilt: NDArray[Any],
    errors: NDArray[np.floating[Any]],
    columns: int,
) -> None:
    grid = part.subplots(2, columns, squeeze=False)
    for axes in grid.ravel():
        bare(axes)
    for column, error in enumerate(errors):
        show_image(grid[0, column], images[column])
        show_image(grid[1, column], rebuilt[column])
        grid[1, column].set_xlabel(f"{error:.4f}", fontsize=7, labelpad=2)
    part.suptitle(f"{name}: originals above their reconstructions", fontsize=9)


def robustness_curve(
    strengths: NDArray[np.floating[Any]],
    errors_model: NDArray[np.floating[Any]],
    errors_input: NDArray[np.floating[Any]],
    strength_label: str,
    title: str,
    trained_strength: float | None = None,
) -> Figure:
    """Draw error over corruption strength, for the model and for the corrupted input itself.

    Args:
        strengths: (S,), corruption strengths.
        errors_model: (S, 3), mean squared error per pixel between reconstruction and clean image:
            value, and low and high end of its 95 % interval.
        errors_input: (S, 3), the same for the corrupted input.
        strength_label: axis label of the strength, with its unit.
        title: figure title.
        trained_strength: the strength that the model was trained with, if any.
    """
    order = np.argsort(strengths)
    with house_style():
        figure = empty_figure(6.4, 4.0)
        axes = figure.subplots()
        for values, name, colour, style in (
            (errors_input, "corrupted input", PALETTE[1], "s--"),
            (errors_model, "reconstruction", PALETTE[0], "o-"),
        ):
            value, low, high = values[order].T
            axes.fill_between(strengths[order], low, high, color=colour, alpha=0.25, lw=0)
            axes.plot(strengths[order], value, style, ms=4, color=colour, label=name)
        if trained_strength is not None:
            label = f"trained at {trained_strength:g}"
            axes.axvline(trained_strength, color=_INK, ls=":", lw=1.2, label=label)
        axes.set(xlabel=strength_label, ylabel="mean squared error per pixel")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend()
        describe(figure, title, "Error against the clean image. Bands: 95 % intervals.")
    return figure


def confusion_matrix(
    matrix: NDArray[np.integer[Any]], class_names: Sequence[str], title: str
) -> Figure:
    """Draw a confusion matrix. A cell's colour is its share of the true class's images.

    Args:
        matrix: (K, K), counts; rows are true classes, columns are predicted classes.
        class_names: name of each class.
        title: figure title.
    """
    count = len(matrix)
    total = int(matrix.sum())
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.46 * count, 2.6, 9.5))
    with house_style():
        figure = empty_figure(side + 2.6, side + 1.6)
        axes = figure.subplots()
        picture = axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
        figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.8)
        if count <= _COUNTED:
            for row, column in np.ndindex(count, count):
                colour = _INK if shares[row, column] > 0.5 else "white"
                text = f"{matrix[row, column]:,}"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        name_axes(axes, [shown(class_names, label) for label in range(count)])
        right = np.trace(matrix) / max(total, 1)
        describe(figure, title, f"{total:,} images, accuracy {right:.4f}.")
    return figure


def name_axes(axes: Axes, names: Sequence[str]) -> None:
    """Label the rows and columns of a confusion matrix with class names."""
    step = -(-len(names) // _NAMED)
    places = range(0, len(names), step)
    size = float(np.clip(250 / len(names), 5, 8))
    axes.set_xticks(places, names[::step], rotation=90, fontsize=size)
    axes.set_yticks(places, names[::step], fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def class_bars(
    values: NDArray[np.floating[Any]],
    baseline: NDArray[np.floating[Any]],
    class_names: Sequence[str],
    title: str,
    unit: str = "mean squared error per pixel",
    baseline_name: str = "PCA",
    name: str = "model",
) -> Figure:
    """Draw a bar for each class, with the baseline's value marked.

    Args:
        values: (K, 3), value, and low and high end of its 95 % interval.
        baseline: (K,), the baseline's values.
        class_names: name of each class.
        title: figure title.
        unit: axis label: the quantity that is measured.
        baseline_name: name of the baseline in the legend.
        name: name of the values in the legend.
    """
    count = len(values)
    places = np.arange(count)
    value, low, high = values.T
    with house_style():
        figure = empty_figure(7.0, float(np.clip(0.3 * count, 0.8, 11)) + 1.5)
        axes = figure.subplots()
        bars: Any = axes.barh(places, value, height=0.7, color=PALETTE[0])
        reach = np.maximum([value - low, high - value], 0)
        axes.errorbar(value, places, xerr=reach, fmt="none", ecolor=_INK, elinewidth=1)
        look: Any = {"marker": "D", "ms": 5, "mec": _INK, "mew": 0.5, "ls": "none"}
        (points,) = axes.plot(baseline, places, color=PALETTE[1], **look)
        names = [shown(class_names, label) for label in range(count)]
        axes.set_yticks(places, names, fontsize=float(np.clip(250 / max(count, 1), 5, 9)))
        axes.set_ylim(count - 0.4, -0.6)
        axes.set_xlabel(unit)
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        figure.legend([bars, points], [name, baseline_name], loc="outside right upper")
        describe(figure, title, "Lines: 95 % intervals.")
    return figure
