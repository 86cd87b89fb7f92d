"""Accuracy over the number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from latentkit.figures.style import MARKERS, PALETTE, describe, empty_figure, house_style

_EDGE = 0.02

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Curve:
    """One way of training.

    Args:
        name: name in the legend.
        values: (S,), mean accuracy for each number of labels.
        low: (S,), low end of its interval; NaN if there is no interval.
        high: (S,), high end of its interval, likewise.
        points: (S, R), accuracy of each repetition.
    """

    name: str
    values: Floats
    low: Floats
    high: Floats
    points: Floats


def label_efficiency(
    n_labels: NDArray[np.integer[Any]], curves: Sequence[Curve], title: str, caption: str = ""
) -> Figure:
    """Draw accuracy over the number of labels, with intervals, for each way of training.

    Args:
        n_labels: (S,), numbers of labels.
        curves: one curve for each way of training.
        title: figure title.
        caption: text below the figure.
    """
    with house_style():
        figure = empty_figure(7.4, 4.4)
        axes = figure.subplots()
        for place, curve in enumerate(curves):
            colour, marker = PALETTE[place], MARKERS[place]
            # Shift the curves sideways so that overlapping intervals stay distinguishable.
            across = n_labels * 1.06 ** (place - (len(curves) - 1) / 2)
            reach = np.nan_to_num([curve.values - curve.low, curve.high - curve.values])
            axes.errorbar(
                across,
                curve.values,
                yerr=np.maximum(reach, 0),
                marker=marker,
                ms=5,
                color=colour,
                capsize=3,
                lw=1.4,
                label=curve.name,
            )
            for column in curve.points.T:
                axes.plot(across, column, ".", color=colour, ms=3, alpha=0.6)
        axes.set_xscale("log")
        axes.set_xticks(n_labels)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)
        axes.set(xlabel="labels", ylabel="accuracy on the test images")
        axes.grid(alpha=0.25)
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -_EDGE), min(high, 1 + _EDGE))  # intervals may exceed [0, 1]
        figure.legend(loc="outside right upper")
        describe(figure, title, caption)
    return figure
