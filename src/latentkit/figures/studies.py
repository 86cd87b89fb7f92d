"""The course of a study: values over trials, and the values trials reported over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentkit.figures.style import PALETTE, EpochLocator, describe, empty_figure, house_style
from latentkit.figures.trials import (
    BEST,
    FAINT,
    Goal,
    counted,
    fit_scale,
    reports_of,
    shades,
)
from latentkit.plugin.studies import TrialRecord, TrialState

_SIZE = 8.4, 4.4  # inches

_KINDS: dict[str, tuple[tuple[TrialState, ...], str, str]] = {
    "completed": (("complete",), "o", PALETTE[0]),
    "pruned": (("pruned",), "v", "#8a939c"),
    "failed": (("failed",), "X", PALETTE[6]),
    "unfinished": (("running", "waiting"), "D", PALETTE[4]),
}
"""By name in the legend: the trial states, their marker and their colour."""


def optimisation_history(trials: Sequence[TrialRecord], goal: Goal, title: str) -> Figure:
    """Draw the value of each trial over its number, and the best value so far.

    Trials that did not complete are drawn at the last value they reported, or on the lower axis if
    they reported none.

    Args:
        trials: in order of their number.
        goal: the objective whose values are drawn.
        title: figure title.
    """
    with house_style():
        figure = empty_figure(*_SIZE)
        axes = figure.subplots()
        reached = {trial.number: _reached(trial, goal) for trial in trials}
        for name, (states, marker, colour) in _KINDS.items():
            own = [trial.number for trial in trials if trial.state in states]
            if own:
                _mark(axes, own, reached, counted(name, len(own)), marker, colour)
        _draw_best(axes, trials, goal)
        fit_scale(axes.yaxis, [value for value in reached.values() if np.isfinite(value)])
        axes.set(xlabel="trial", ylabel=goal.name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        figure.legend(loc="outside right upper")
        describe(figure, title, _history_caption(reached, trials, goal))
    return figure


def _history_caption(reached: dict[int, float], trials: Sequence[TrialRecord], goal: Goal) -> str:
    said = f"{goal.better.capitalize()}."
    if any(trial.state != "complete" and np.isfinite(reached[trial.number]) for trial in trials):
        said += " Trials that did not complete are drawn at the last value they reported."
    if any(np.isnan(value) for value in reached.values()):
        said += " Trials on the lower axis have no value."
    return said


def _reached(trial: TrialRecord, goal: Goal) -> float:
    """Return a trial's value or, if it did not complete, the last value it reported, or NaN."""
    values = [goal.value(trial)] if trial.state == "complete" else reports_of(trial)[1]
    return float(values[-1]) if len(values) and np.isfinite(values[-1]) else np.nan


def _mark(
    axes: Axes, own: list[int], reached: dict[int, float], label: str, marker: str, colour: str
) -> None:
    style = {"marker": marker, "ls": "none", "ms": 5.5, "color": colour, "mec": "white", "mew": 0.4}
    valued = [number for number in own if np.isfinite(reached[number])]
    bare = [number for number in own if np.isnan(reached[number])]
    axes.plot(valued, [reached[number] for number in valued], label=label, **style)  # type: ignore[arg-type]
    if bare:
        edge = axes.get_xaxis_transform()
        axes.plot(bare, [0] * len(bare), transform=edge, clip_on=False, **style)  # type: ignore[arg-type]


def _draw_best(axes: Axes, trials: Sequence[TrialRecord], goal: Goal) -> None:
    """Draw the best value so far up to the last trial, and mark the best trial."""
    best = goal.best(trials)
    if best is None:
        return
    done = goal.having(trials)
    fewer = np.minimum if goal.direction == "minimize" else np.maximum
    so_far = fewer.accumulate([goal.value(trial) for trial in done])
    numbers = [*(trial.number for trial in done), max(trials[-1].number, done[-1].number)]
    axes.plot(
        numbers,
        [*so_far, so_far[-1]],
        drawstyle="steps-post",
        color=BEST,
        lw=1.3,
        zorder=1.5,
        label="best so far",
    )
    _star(
        axes, best.number, goal.value(best), f"best: {goal.value(best):.4g} (trial {best.number})"
    )


def _star(axes: Axes, x: float, y: float, label: str) -> None:
    axes.plot(x, y, "*", ms=13, color=BEST, mec="white", ls="none", zorder=4, label=label)


def intermediate_curves(trials: Sequence[TrialRecord], goal: Goal, title: str) -> Figure:
    """Draw the values each trial reported over epochs, and where trials were pruned.

    Args:
        trials: those without a report are not drawn.
        goal: the reported objective; a completed trial is coloured by its value.
        title: figure title.
    """
    told = [trial for trial in trials if len(reports_of(trial)[0])]
    best = goal.best(told)
    done = goal.having(told)
    colours = dict(
        zip(
            (trial.number for trial in done),
            shades(np.array([goal.value(trial) for trial in done]), goal.direction),
            strict=True,
        )
    )
    with house_style():
        figure = empty_figure(*_SIZE)
        axes = figure.subplots()
        for trial in told:
            if trial is not best:
                _draw_curve(axes, trial, colours.get(trial.number))
        if best is not None:
            epochs, values = reports_of(best)
            axes.plot(epochs, values, color=BEST, lw=2.4, marker="o", ms=4, zorder=4)
        fit_scale(axes.yaxis, np.concatenate([reports_of(trial)[1] for trial in told]))
        axes.set(xlabel="epoch", ylabel=goal.name)
        axes.xaxis.set_major_locator(EpochLocator())
        axes.grid(alpha=0.25)
        figure.legend(handles=_curve_legend(told, best, colours), loc="outside right upper")
        said = f"{goal.better.capitalize()}. Completed trials with a better value are darker."
        if len(told) < len(trials):
            said += f" Of {len(trials)} trials, {len(told)} reported a value."
        describe(figure, title, said)
    return figure


def _kind(trial: TrialRecord) -> str:
    return next(name for name, (states, _, _) in _KINDS.items() if trial.state in states)


def _draw_curve(axes: Axes, trial: TrialRecord, colour: object) -> None:
    """Draw a curve in its colour, or thin with a marker at its end if the trial is incomplete."""
    epochs, values = reports_of(trial)
    if trial.state == "complete":
        axes.plot(epochs, values, color=colour, lw=1.3, zorder=3)
        return
    _, marker, own = _KINDS[_kind(trial)]
    axes.plot(epochs, values, color=FAINT, lw=0.8, zorder=2)
    axes.plot(epochs[-1:], values[-1:], marker=marker, ms=5, color=own, mec="white", mew=0.4)


def _curve_legend(
    told: Sequence[TrialRecord], best: TrialRecord | None, colours: Mapping[int, Any]
) -> list[Line2D]:
    """Return a legend line for each kind of trial; completed ones use one sample colour."""
    handles = []
    if best is not None:
        handles = [Line2D([], [], color=BEST, lw=2.4, marker="o", ms=4)]
        handles[0].set_label(f"best: trial {best.number}")
    for name, (states, marker, colour) in _KINDS.items():
        own = [trial for trial in told if trial.state in states and trial is not best]
        count = len(own)
        label = counted("other completed" if name == "completed" and best else name, count)
        if count and name == "completed":
            drawn = [colours[trial.number] for trial in own if trial.number in colours]
            one = drawn[len(drawn) // 2] if drawn else FAINT
            handles.append(Line2D([], [], color=one, lw=1.3, label=label))
        elif count:
            mark = {"marker": marker, "mfc": colour, "mec": "white", "mew": 0.4, "ms": 6}
            handles.append(Line2D([], [], color=FAINT, lw=0.8, label=label, **mark))  # type: ignore[arg-type]
    return handles
