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
_SPREAD = 1.05  # factor between neighbouring curves, so that their intervals do not overlap
_BASELINE = "#555555"
_DASHES = ("--", ":", "-.")


@dataclass(frozen=True)
class EncoderCurve:
    """Accuracies of one encoder, or of a baseline.

    Args:
        name: shown in the legend.
        accuracies: by name of a probe, (S, 3): value and ends of the interval for each share of
            the labels; NaN if they are unknown.
        seconds: value and ends of the time of training; None for what is not trained.
    """

    name: str
    accuracies: dict[str, NDArray[np.floating[Any]]]
    seconds: tuple[float, float, float] | None = None


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
        panels = figure.subplots(1, len(probes), sharey=True, squeeze=False)[0]
        for axes, probe in zip(panels, probes, strict=True):
            lines = []
            for place, one in enumerate(encoders):
                moved = np.asarray(shares) * _SPREAD ** (place - (len(encoders) - 1) / 2)
                lines.append(_line(axes, moved, one.accuracies[probe], one, place))
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
        trained = [one for one in encoders if one.seconds and one.seconds[0] > 0]
        untrained = [one for one in encoders if one not in trained]
        lines: list[Any] = []
        for place, one in enumerate(encoders):
            value, low, high = one.accuracies[probe][-1]
            if one in untrained:
                number = untrained.index(one)
                dashes = _DASHES[number % len(_DASHES)]
                colour = style.PALETTE[place % len(style.PALETTE)]
                lines.append(axes.axhline(value, ls=dashes, color=colour, lw=1.4))
                continue
            time = np.array(one.seconds)
            reach = np.nan_to_num([[time[0] - max(time[1], time[0] / 2)], [time[2] - time[0]]])
            point = axes.errorbar(
                time[:1],
                [value],
                xerr=np.maximum(reach, 0),
                yerr=np.maximum(np.nan_to_num([[value - low], [high - value]]), 0),
                **_look(place),
                ls="",
            )
            lines.append(point)
        if trained:
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
    one: EncoderCurve,
    place: int,
) -> Container:
    value, low, high = np.asarray(found, float).T
    return axes.errorbar(
        across,
        value,
        yerr=np.maximum(np.nan_to_num([value - low, high - value]), 0),
        **_look(place),
        lw=1.4,
        ls="-" if one.seconds else "--",
    )


def _look(place: int) -> dict[str, Any]:
    colour, marker = style.class_style(place)
    edge = style.edge_colour(colour)
    return {"marker": marker, "ms": 5.5, "color": colour, "mec": edge, "ecolor": edge, "capsize": 3}


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
