"""Loss over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.style import (
    PALETTE,
    EpochLocator,
    empty_figure,
    house_style,
    log_ticks,
)

_LOG_FROM = 5.0  # ratio of largest to least loss from which the axis is logarithmic
_DOTTED = 20  # with more epochs, single epochs have no dot
_COLUMNS = 4

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
    lines = -(-len(terms) // _COLUMNS)
    columns = max(1, min(_COLUMNS, len(terms)))
    with house_style():
        figure = empty_figure(6.4 if columns < _COLUMNS else 7.4, 3.8 + 1.8 * lines)
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
