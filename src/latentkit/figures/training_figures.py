"""Figures of training: loss over epochs, histograms of weights, kernels as images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from latentkit.figures.style import (
    PALETTE,
    EpochLocator,
    bins,
    cut,
    describe,
    empty_figure,
    house_style,
    log_ticks,
)

_LOG_FROM = 5.0  # ratio of largest to least loss from which the axis is logarithmic
_DOTTED = 20  # with more epochs, single epochs have no dot
_HISTORY_COLUMNS = 4

Curves = tuple[NDArray[np.float64], NDArray[np.float64]]
"""A loss term in training and in validation, one value per epoch."""


def loss_curves(history: Sequence[Mapping[str, Any]], title: str, unit: str = "") -> Figure:
    """Draw training and validation loss over epochs, and mark the least validation loss.

    Each term of the loss that differs from the loss itself has its own panel below.

    Args:
        history: records with ``epoch``, and the loss terms under ``train`` and ``validation``.
        title: figure title.
        unit: unit of the loss, for the axis label.
    """
    epochs = [record["epoch"] for record in history]
    terms = _terms(history)
    loss = terms.pop("loss")
    lines = -(-len(terms) // _HISTORY_COLUMNS)
    columns = max(1, min(_HISTORY_COLUMNS, len(terms)))
    with house_style():
        figure = empty_figure(6.4 if columns < _HISTORY_COLUMNS else 7.4, 3.8 + 1.8 * lines)
        grid = figure.add_gridspec(lines + 1, columns, height_ratios=[2.0] + [1.0] * lines)
        axes = figure.add_subplot(grid[0, :])
        _draw(axes, epochs, loss)
        best = int(np.argmin(loss[1]))
        axes.plot(
            epochs[best],
            loss[1][best],
            "*",
            ms=12,
            color=PALETTE[2],
            mec="white",
            ls="none",
            label=f"least validation loss: {loss[1][best]:.4g} (epoch {epochs[best]})",
        )
        axes.set(xlabel="epoch", ylabel=f"loss{f' ({unit})' if unit else ''}", title=title)
        axes.legend()
        for place, (name, curves) in enumerate(terms.items()):
            panel = figure.add_subplot(grid[1 + place // columns, place % columns])
            _draw(panel, epochs, curves)
            panel.set_title(name, fontsize=9)
            panel.tick_params(labelsize=8)
    return figure


def _terms(history: Sequence[Mapping[str, Any]]) -> dict[str, Curves]:
    """Return the loss, and those of its terms that differ from it."""

    def curves(name: str) -> Curves:
        train, validation = (
            np.array([record[split][name] for record in history], np.float64)
            for split in ("train", "validation")
        )
        return train, validation

    found = {"loss": curves("loss")}
    for name in history[0]["train"]:
        if all(name in record[split] for record in history for split in ("train", "validation")):
            own = curves(name)
            if not all(np.allclose(a, b) for a, b in zip(own, found["loss"], strict=True)):
                found[name] = own
    return found


def _draw(axes: Axes, epochs: Sequence[int], curves: Curves) -> None:
    marker = "o" if len(epochs) <= _DOTTED else None
    for values, name, style, colour in zip(
        curves, ("train", "validation"), ("-", "--"), PALETTE, strict=False
    ):
        axes.plot(epochs, values, marker=marker, ms=3.5, ls=style, color=colour, label=name)
    both = np.concatenate(curves)
    if both.min() > 0 and both.max() > _LOG_FROM * curves[0].min():
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    axes.xaxis.set_major_locator(EpochLocator())
    axes.grid(alpha=0.25)


_COLUMNS = 4
_PANEL = 2.3, 1.6  # inches
_MOST_KERNELS = 64
_MOST_CHANNELS = 16
_SHAPE = 1.4  # width over height of a picture of kernels
_CELL = 1.5  # inches
_KERNELS_OF_CELL, _CHANNELS_OF_CELL = 16, 4
_EMPTY = "#c4c9cf"


def weight_histograms(named: Mapping[str, NDArray[np.floating[Any]]], title: str) -> Figure:
    """Draw a histogram of the weights of each layer.

    Args:
        named: weights (n,) of each layer, by the layer's name.
        title: figure title.
    """
    columns = max(1, min(_COLUMNS, len(named)))
    lines = max(1, -(-len(named) // columns))
    with house_style():
        figure = empty_figure(max(4.0, columns * _PANEL[0]), lines * _PANEL[1] + 0.6)
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (name, weights) in zip(grid, named.items(), strict=False):
            axes.hist(weights, bins=bins(len(weights)), color=PALETTE[0])
            axes.set_title(cut(name), fontsize=8)
            spread = f"sd {weights.std():.3g}" if len(weights) else "none"
            axes.set_xlabel(f"n = {len(weights):,}, {spread}", fontsize=7, color="#555555")
            axes.tick_params(labelsize=6, colors="#888888", length=2)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        for axes in grid[len(named) :]:
            axes.set_visible(False)
        describe(figure, title, "Horizontal: value of a weight. Vertical: number of weights.")
    return figure


def kernel_grid(kernels: NDArray[np.floating[Any]], title: str, inputs: str = "") -> Figure:
    """Draw convolution kernels, each with its input channels side by side.

    Args:
        kernels: (K, C, h, w); at most 64 kernels and 16 channels of each are drawn.
        title: figure title.
        inputs: caption sentence about the input channels, if they are not those of an image.
    """
    total, channels, height, width = kernels.shape
    few = kernels[:_MOST_KERNELS, :_MOST_CHANNELS]
    canvas = _tiled(few, _across(few.shape, _SHAPE))
    largest = float(np.abs(few).max(initial=0)) or 1.0
    rows, columns = canvas.shape
    wide = 6.5
    with house_style():
        figure = empty_figure(wide + 1.0, float(np.clip(wide * rows / columns, 1.2, 9)) + 0.9)
        axes = figure.subplots()
        colours = mpl.colormaps["RdBu_r"].with_extremes(bad=_EMPTY)
        picture = axes.imshow(
            canvas, cmap=colours, vmin=-largest, vmax=largest, interpolation="nearest"
        )
        axes.set_axis_off()
        figure.colorbar(picture, ax=axes, label="weight", shrink=0.9)
        shown = f"{len(few)} of {total}" if len(few) < total else str(total)
        beside = _channels_text(few.shape[1], channels)
        said = f" {inputs}" if inputs else ""
        describe(figure, title, f"{shown} kernels of {height} × {width}{beside}.{said}")
    return figure


def _across(shape: tuple[int, ...], aspect: float) -> int:
    """Return how many kernels (K, C, h, w) to draw per line for a picture of this aspect ratio."""
    count, channels, height, width = shape
    across = math.sqrt(aspect * count * (height + 1) / (channels * (width + 1)))
    lines = -(-count // max(1, min(count, round(across))))
    return -(-count // lines)


def _channels_text(shown: int, channels: int) -> str:
    if channels == 1:
        return ""
    number = f"the first {shown} of {channels}" if shown < channels else str(channels)
    return f", {number} input channels side by side"


def _tiled(kernels: NDArray[np.floating[Any]], across: int) -> NDArray[np.float64]:
    """Place kernels (K, C, h, w) on a canvas, ``across`` per line, with gaps of NaN between."""
    count, channels, height, width = kernels.shape
    across = max(1, min(count, across))
    lines = -(-count // across)
    block = channels * (width + 1) + (channels > 1)
    canvas = np.full((lines * (height + 1) - 1, across * block - 1 - (channels > 1)), np.nan)
    for number, kernel in enumerate(kernels):
        top, left = number // across * (height + 1), number % across * block
        for channel, values in enumerate(kernel):
            start = left + channel * (width + 1)
            canvas[top : top + height, start : start + width] = values
    return canvas


def kernels_over_epochs(
    rows: Sequence[tuple[str, Mapping[int, NDArray[np.floating[Any]]]]], title: str
) -> Figure:
    """Draw kernels of several networks after chosen epochs.

    Args:
        rows: name of each network, and its kernels (K, C, h, w) by epoch. At most 16 kernels and
            4 channels of each are drawn. All epochs of a row share one colour scale.
        title: figure title.
    """
    epochs = sorted({epoch for _, kernels in rows for epoch in kernels})
    with house_style():
        figure = empty_figure(max(5.0, len(epochs) * _CELL + 1.3), len(rows) * _CELL + 0.9)
        grid = figure.subplots(len(rows), len(epochs), squeeze=False)
        for line, (name, kernels) in zip(grid, rows, strict=True):
            few = {e: k[:_KERNELS_OF_CELL, :_CHANNELS_OF_CELL] for e, k in kernels.items()}
            largest = max(float(np.abs(k).max(initial=0)) for k in few.values()) or 1.0
            line[0].set_ylabel(f"{name}\n± {largest:.2g}", fontsize=8)
            for axes, epoch in zip(line, epochs, strict=True):
                if epoch in few:
                    _draw_cell(axes, few[epoch], largest)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, epoch in zip(grid[0], epochs, strict=True):
            axes.set_title(f"epoch {epoch}", fontsize=9, loc="center")
        describe(
            *(figure, title),
            f"At most {_KERNELS_OF_CELL} kernels of each, up to {_CHANNELS_OF_CELL} input channels "
            f"side by side. Blue is negative, red is positive; each row has its own scale.",
        )
    return figure


def _draw_cell(axes: Axes, kernels: NDArray[np.floating[Any]], largest: float) -> None:
    """Draw kernels in a layout that is as square as possible."""
    axes.imshow(
        _tiled(kernels, _across(kernels.shape, 1.0)),
        cmap=mpl.colormaps["RdBu_r"].with_extremes(bad=_EMPTY),
        vmin=-largest,
        vmax=largest,
        interpolation="nearest",
    )
