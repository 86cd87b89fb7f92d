"""Figures that show encoders side by side: accuracy over labels, and accuracy over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from latentkit.figures import style

_WIDTH = 9.2  # inches
_SPREAD = 1.06  # factor between neighbouring curves, so that their intervals do not overlap
_GREYS = ("#222222", "#8a8a8a")  # of baselines
_DASHES = ("--", ":", "-.")


@dataclass(frozen=True)
class EncoderCurve:
    """Accuracies of one encoder, or of a baseline.

    Args:
        name: shown in the legend.
        accuracies: by name of a probe, (S, 3): value and ends of the interval for each share of
            the labels; NaN if they are unknown.
        seconds: value and ends of the time of training; None for what is not trained.
        baseline: whether it is no encoder; it is drawn in grey.
    """

    name: str
    accuracies: dict[str, NDArray[np.floating[Any]]]
    seconds: tuple[float, float, float] | None = None
    baseline: bool = False


def accuracy_over_labels(
    shares: Sequence[float], encoders: Sequence[EncoderCurve], title: str, caption: str = ""
) -> Figure:
    """Draw the accuracy of each probe over the share of labels, with a line for each encoder.

    Args:
        shares: (S,), shares of the training labels, in (0, 1].
        encoders: with the same probes each; what is not trained is drawn dashed.
        title: figure title.
        caption: text below the figure.
    """
    probes = list(encoders[0].accuracies)
    with style.house_style():
        figure = style.empty_figure(_WIDTH, _height(len(encoders)))
        looks = _looks(encoders)
        panels = figure.subplots(1, len(probes), sharey=True, squeeze=False)[0]
        for axes, probe in zip(panels, probes, strict=True):
            lines = []
            for place, one in enumerate(encoders):
                moved = np.asarray(shares) * _SPREAD ** (place - (len(encoders) - 1) / 2)
                lines.append(_line(axes, moved, one.accuracies[probe], looks[place]))
            axes.set_xscale("log")
            axes.set_xticks(list(shares))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", which="minor", length=0)
            axes.set(title=probe, xlabel="share of the training labels")
            axes.grid(alpha=0.25)
        panels[0].set_ylabel("accuracy on the test images")
        _within_range(panels[0], [value for one in encoders for value in one.accuracies.values()])
        _legend(figure, lines, encoders)
        style.describe(figure, title, caption)
    return figure


def accuracy_over_seconds(
    encoders: Sequence[EncoderCurve], probe: str, title: str, caption: str = ""
) -> Figure:
    """Draw the accuracy with all labels over the time of training, with a point for each encoder.

    What is not trained has no time: it is a horizontal line.

    Args:
        encoders: encoders and baselines.
        probe: which of the accuracies to draw.
        title: figure title.
        caption: text below the figure.
    """
    with style.house_style():
        figure = style.empty_figure(_WIDTH, _height(len(encoders)))
        axes = figure.subplots()
        lines: list[Any] = []
        for one, look in zip(encoders, _looks(encoders), strict=True):
            value, low, high = one.accuracies[probe][-1]
            if one.seconds is None:
                lines.append(axes.axhline(value, ls=look["ls"], color=look["color"], lw=1.4))
                continue
            time = np.array(one.seconds)
            # The axis is logarithmic, so that an interval cannot reach 0.
            reach = np.nan_to_num([[time[0] - max(time[1], time[0] / 2)], [time[2] - time[0]]])
            point = axes.errorbar(
                time[:1],
                [value],
                xerr=np.maximum(reach, 0),
                yerr=np.maximum(np.nan_to_num([[value - low], [high - value]]), 0),
                **{**_drawn(look), "ls": ""},
            )
            lines.append(point)
        if any(one.seconds for one in encoders):
            axes.set_xscale("log")
            style.log_ticks(axes.xaxis)
        axes.set(xlabel="seconds of training", ylabel=f"{probe} accuracy on the test images")
        axes.grid(alpha=0.25)
        _within_range(axes, [one.accuracies[probe][-1:] for one in encoders])
        _legend(figure, lines, encoders)
        style.describe(figure, title, caption)
    return figure


def _line(
    axes: Axes,
    across: NDArray[np.floating[Any]],
    found: NDArray[np.floating[Any]],
    look: dict[str, Any],
) -> Container:
    value, low, high = np.asarray(found, float).T
    reach = np.maximum(np.nan_to_num([value - low, high - value]), 0)
    return axes.errorbar(across, value, yerr=reach, **_drawn(look))


def _looks(encoders: Sequence[EncoderCurve]) -> list[dict[str, Any]]:
    """Return colour, marker and dashes of each encoder; baselines are grey."""
    looks: list[dict[str, Any]] = []
    counts = {True: 0, False: 0}
    for one in encoders:
        number = counts[one.baseline]
        counts[one.baseline] += 1
        colour, marker = style.class_style(number)
        if one.baseline:
            colour, marker = _GREYS[number % len(_GREYS)], ("_", "|")[number % 2]
        dashes = "-" if one.seconds else _DASHES[number % len(_DASHES)]
        looks.append({"color": colour, "marker": marker, "ls": dashes})
    return looks


def _drawn(look: dict[str, Any]) -> dict[str, Any]:
    edge = style.edge_colour(look["color"])
    return {**look, "ms": 5.5, "mec": edge, "ecolor": edge, "capsize": 3, "lw": 1.4}


def _within_range(axes: Axes, found: Sequence[NDArray[np.floating[Any]]]) -> None:
    """Let the axis show all values; intervals of few seeds may be wider than the axis."""
    values = np.concatenate([np.asarray(one, float)[:, 0] for one in found])
    margin = max(0.02, 0.25 * float(np.ptp(values)))
    axes.set_ylim(max(0.0, values.min() - margin), min(1.0, values.max() + margin))


def _legend(figure: Figure, lines: Sequence[Any], encoders: Sequence[EncoderCurve]) -> None:
    # Passed separately from the lines: matplotlib omits artists whose label begins with "_".
    names = [style.cut(one.name) for one in encoders]
    figure.legend(lines, names, loc="outside right upper", fontsize=8)


def _height(encoders: int) -> float:
    """Return the height in inches at which the legend has room."""
    return max(4.4, 0.8 + 0.17 * encoders)
