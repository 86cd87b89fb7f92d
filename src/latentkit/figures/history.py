"""Loss over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latentkit.figures.style import PALETTE, empty_figure, house_style, log_ticks

_LOG_FROM = 5.0  # a ratio of first to last loss that a linear axis would flatten


def loss_curves(history: Sequence[Mapping[str, Any]], title: str, unit: str = "") -> Figure:
    """Draw train and validation loss of each epoch, the least validation loss marked.

    Args:
        history: records with ``epoch``, ``train`` and ``validation`` loss terms.
        title: of the figure.
        unit: of the loss, for the axis.
    """
    epochs = [record["epoch"] for record in history]
    train = [record["train"]["loss"] for record in history]
    validation = [record["validation"]["loss"] for record in history]
    best = min(range(len(history)), key=validation.__getitem__)
    with house_style():
        figure = empty_figure(6.4, 3.8)
        axes = figure.subplots()
        marker = "o" if len(history) <= 20 else None
        axes.plot(epochs, train, marker=marker, ms=4, color=PALETTE[0], label="train")
        axes.plot(
            epochs, validation, marker=marker, ms=4, ls="--", color=PALETTE[1], label="validation"
        )
        axes.plot(
            epochs[best],
            validation[best],
            "*",
            ms=12,
            color=PALETTE[2],
            mec="white",
            ls="none",
            label=f"least validation loss: {validation[best]:.4g} (epoch {epochs[best]})",
        )
        if min(train + validation) > 0 and max(train + validation) > _LOG_FROM * min(train):
            axes.set_yscale("log")
            log_ticks(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=f"loss{f' ({unit})' if unit else ''}", title=title)
        axes.grid(alpha=0.25)
        axes.legend()
    return figure
