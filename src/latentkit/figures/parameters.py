"""All parameters of a study side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.domains import NAME_LENGTH, Ticks, parameter_name, shares, ticks_of
from latentkit.figures.style import describe, empty_figure, house_style
from latentkit.figures.trials import BEST, FAINT, Goal, merits, shade, shades, spans_decades
from latentkit.plugin.options import SearchChoice, SearchDomain, SearchRange
from latentkit.plugin.studies import TrialRecord

_AXIS = 1.32  # inches from axis to axis
_HEIGHT = 4.6
_STRIP = 0.05  # width of the colour bar, as a share of the distance between two axes


def parallel_coordinates(
    trials: Sequence[TrialRecord], space: Mapping[str, SearchDomain], goal: Goal, title: str
) -> Figure:
    """Draw each trial as a line through its parameters to its value.

    Trials without a value are faint and end before the objective's axis.

    Args:
        trials: trials of the study; at least one of them has a value.
        space: search domain of each parameter, by name; each has one axis.
        goal: the objective: the last axis, which also colours the lines.
        title: figure title.
    """
    done = goal.having(trials)
    others = [trial for trial in trials if not goal.has_value(trial)]
    values = np.array([goal.value(trial) for trial in done])
    objective = _range_of(values)
    with house_style():
        figure = empty_figure(max(7.4, _AXIS * (len(space) + 1) + 0.9), _HEIGHT)
        axes = figure.subplots()
        places = _through(trials, space)
        faint = [
            line for trial, line in zip(trials, places, strict=True) if not goal.has_value(trial)
        ]
        _draw_lines(axes, faint, FAINT, 0.6)
        _draw_completed(axes, trials, places, goal, objective)
        for x, (name, domain) in enumerate(space.items()):
            _draw_axis(axes, x, parameter_name(name), domain)
        _draw_objective(axes, len(space), goal, objective, values)
        axes.set(xlim=(-0.2, len(space) + 0.5), ylim=(-0.04, 1.04))
        axes.set_axis_off()
        best = goal.best(done)
        said = f"Each line is one of the {goal.trials}; darker is better ({goal.better})."
        if best is not None:
            said += f" Red: trial {best.number}, which has the best final value."
        if others:
            said += f" Grey: {len(others)} trials without a value."
        if any(isinstance(domain, SearchChoice) for domain in space.values()):
            said += " Trials with the same choice are spread slightly."
        describe(figure, title, said)
    return figure


def _through(
    trials: Sequence[TrialRecord], space: Mapping[str, SearchDomain]
) -> list[NDArray[np.float64]]:
    """Return each trial's positions (P,) on the axes, in [0, 1]; NaN if it lacks the parameter."""
    columns = [
        shares(domain, [trial.params.get(name) for trial in trials])
        for name, domain in space.items()
    ]
    return list(np.array(columns, np.float64).reshape(len(columns), len(trials)).T)


def _range_of(values: NDArray[np.float64]) -> SearchRange:
    """Return the range of an objective's values, widened if they are all equal."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        room = abs(low) / 2 or 1.0
        return SearchRange(low - room, high + room)
    return SearchRange(low, high, log=spans_decades(values))


def _draw_lines(
    axes: Axes, lines: Sequence[NDArray[np.float64]], colours: Any, width: float
) -> None:
    segments = [np.column_stack([np.arange(len(line)), line]) for line in lines]
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=width))


def _draw_completed(
    axes: Axes,
    trials: Sequence[TrialRecord],
    places: Sequence[NDArray[np.float64]],
    goal: Goal,
    objective: SearchRange,
) -> None:
    """Draw trials that have a value, with better ones on top."""
    best = goal.best(trials)
    done = [(t, line) for t, line in zip(trials, places, strict=True) if goal.has_value(t)]
    values = np.array([goal.value(trial) for trial, _ in done])
    ends, colours = shares(objective, values), shades(values, goal.direction)
    lines = [np.append(line, end) for (_, line), end in zip(done, ends, strict=True)]
    order = np.argsort(-merits(values, goal.direction), kind="stable").tolist()
    rest = [place for place in order if done[place][0] is not best]
    _draw_lines(axes, [lines[place] for place in rest], colours[rest], 1.1)
    chosen = [line for line, (trial, _) in zip(lines, done, strict=True) if trial is best]
    _draw_lines(axes, chosen, BEST, 2.4)


def _draw_axis(axes: Axes, x: float, name: str, domain: SearchDomain, beside: float = 0.04) -> None:
    """Draw an axis; its tick labels have a white background, so they are legible over lines."""
    axes.plot([x, x], [0, 1], color="#1d2430", lw=1)
    ground = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}
    axes.text(x, 1.05, name, ha="center", va="bottom", fontsize=8, weight="bold")
    for share, text in _shared_ticks(domain):
        axes.plot([x, x + 0.02], [share, share], color="#1d2430", lw=0.8)
        axes.text(*(x + beside, share, text), va="center", fontsize=7.5, bbox=ground, zorder=5)


def _draw_objective(
    axes: Axes, x: float, goal: Goal, objective: SearchRange, values: NDArray[np.float64]
) -> None:
    """Draw the objective's axis with a colour bar beside it."""
    name = textwrap.fill(goal.name, NAME_LENGTH)
    _draw_axis(axes, x, name, objective, beside=_STRIP + 0.05)
    if values.min() < values.max():
        ramp = np.linspace(0, 1, 128)
        colours = shade(ramp if goal.direction == "minimize" else 1 - ramp)
        axes.imshow(
            colours[:, None],
            extent=(x + 0.01, x + 0.01 + _STRIP, 0, 1),
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
        )


def _shared_ticks(domain: SearchDomain) -> Ticks:
    """Return the ticks of an axis, at positions in [0, 1]."""
    ticks = ticks_of(domain)
    if isinstance(domain, SearchChoice):
        return [((place + 0.5) / len(domain.values), text) for place, text in ticks]
    places = shares(domain, [value for value, _ in ticks])
    return [(float(share), text) for share, (_, text) in zip(places, ticks, strict=True)]
