"""The course of a study: values over trials and epochs, and Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from latentkit.figures.style import (
    PALETTE,
    SEQUENTIAL,
    EpochLocator,
    describe,
    empty_figure,
    house_style,
    log_ticks,
)
from latentkit.plugin.studies import Direction, TrialRecord, TrialState

BEST = PALETTE[2]
FAINT = "#b9c0c7"
_DECADE = 10.0  # ratio of values from which an axis is logarithmic
_PALEST = 0.9  # end of the colour map that is used; its pale end is hard to see on white


@dataclass(frozen=True)
class Goal:
    """One objective of a study.

    Args:
        name: axis label.
        direction: whether lower or higher values are better.
        place: index of the objective among the values of a trial.
        epoch: epoch after which trials are compared, including pruned ones. With None, completed
            trials are compared by their final values.
    """

    name: str
    direction: Direction = "minimize"
    place: int = 0
    epoch: int | None = None

    @property
    def better(self) -> str:
        """A phrase for captions that says which direction is better."""
        return "lower is better" if self.direction == "minimize" else "higher is better"

    @property
    def trials(self) -> str:
        """A phrase for captions that says which trials have a value."""
        return "completed trials" if self.epoch is None else f"trials after epoch {self.epoch}"

    def value(self, trial: TrialRecord) -> float:
        """Return the value by which a trial is compared; NaN if it has none."""
        if self.epoch is None:
            return float(trial.values[self.place]) if trial.state == "complete" else math.nan
        ran = trial.state in ("complete", "pruned")
        return float(trial.reports.get(self.epoch, math.nan)) if ran else math.nan

    def has_value(self, trial: TrialRecord) -> bool:
        """Return whether a trial has a finite value."""
        return math.isfinite(self.value(trial))

    def having(self, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
        """Return the trials that have a finite value."""
        return [trial for trial in trials if self.has_value(trial)]

    def best(self, trials: Iterable[TrialRecord]) -> TrialRecord | None:
        """Return the completed trial with the best final value, or None; ties go to the first."""
        end = replace(self, epoch=None)
        sign = 1 if self.direction == "minimize" else -1
        return min(end.having(trials), key=lambda t: sign * end.value(t), default=None)


def reports_of(trial: TrialRecord) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the epochs (E,) and finite values (E,) that a trial reported."""
    finite = sorted((epoch, v) for epoch, v in trial.reports.items() if math.isfinite(v))
    epochs, values = zip(*finite, strict=True) if finite else ((), ())
    return np.array(epochs, np.int64), np.array(values, np.float64)


def spans_decades(values: Sequence[float] | NDArray[np.floating[Any]]) -> bool:
    """Return whether all values are positive and differ by more than a factor of ten."""
    return len(values) > 0 and min(values) > 0 and _DECADE * min(values) < max(values)


def fit_scale(axis: Axis, values: Sequence[float] | NDArray[np.floating[Any]]) -> None:
    """Make an axis logarithmic if its values span more than a decade."""
    if spans_decades(values):
        name = axis.axis_name  # type: ignore[attr-defined]
        axis.axes.set(**{f"{name}scale": "log"})
        log_ticks(axis)


def merits(values: NDArray[np.floating[Any]], direction: Direction) -> NDArray[np.float64]:
    """Scale values (N,) to merits between 0, the best value, and 1, the worst."""
    scaled = np.log(values) if spans_decades(values) else np.asarray(values, np.float64)
    reach = np.ptp(scaled) if len(scaled) else 0.0
    share = (scaled - scaled.min()) / reach if reach else np.zeros(len(scaled))
    return share if direction == "minimize" else 1 - share


def shades(values: NDArray[np.floating[Any]], direction: Direction) -> NDArray[np.float64]:
    """Return colours (N, 4) of values (N,); better values are darker."""
    return np.asarray(shade(merits(values, direction)))


def shade(merit: NDArray[np.floating[Any]]) -> Any:
    """Return colours (N, 4) of merits (N,); see `merits`."""
    return mpl.colormaps[SEQUENTIAL](_PALEST * merit)


def counted(name: str, count: int) -> str:
    """Return a legend entry: a name and a count."""
    return f"{name} ({count:,})"


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
    with_reports = [trial for trial in trials if len(reports_of(trial)[0])]
    best = goal.best(with_reports)
    done = goal.having(with_reports)
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
        for trial in with_reports:
            if trial is not best:
                _draw_curve(axes, trial, colours.get(trial.number))
        if best is not None:
            epochs, values = reports_of(best)
            axes.plot(epochs, values, color=BEST, lw=2.4, marker="o", ms=4, zorder=4)
        fit_scale(axes.yaxis, np.concatenate([reports_of(trial)[1] for trial in with_reports]))
        axes.set(xlabel="epoch", ylabel=goal.name)
        axes.xaxis.set_major_locator(EpochLocator())
        axes.grid(alpha=0.25)
        figure.legend(handles=_curve_legend(with_reports, best, colours), loc="outside right upper")
        said = f"{goal.better.capitalize()}. Completed trials with a better value are darker."
        if len(with_reports) < len(trials):
            said += f" Of {len(trials)} trials, {len(with_reports)} reported a value."
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
    with_reports: Sequence[TrialRecord], best: TrialRecord | None, colours: Mapping[int, Any]
) -> list[Line2D]:
    """Return a legend line for each kind of trial; completed ones use one sample colour."""
    handles = []
    if best is not None:
        handles = [Line2D([], [], color=BEST, lw=2.4, marker="o", ms=4)]
        handles[0].set_label(f"best: trial {best.number}")
    for name, (states, marker, colour) in _KINDS.items():
        own = [trial for trial in with_reports if trial.state in states and trial is not best]
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


_COLUMNS = 3
_ALONE = 7.4, 4.8  # inches
_PANEL = 3.2, 3.0
_RADIUS = 4  # pixels around a point that no number may cover
_OFFSETS = ((5, 4), (-5, 4), (5, -4), (-5, -4), (0, 8), (0, -8))  # points; places for a number


def pareto_front(
    trials: Sequence[TrialRecord], front: Collection[int], goals: Sequence[Goal], title: str
) -> Figure:
    """Draw completed trials for each pair of objectives; number the trials on the front.

    Args:
        trials: trials of the study; those that did not complete are not drawn.
        front: numbers of the trials on the Pareto front, which no other trial dominates.
        goals: two objectives or more.
        title: figure title.
    """
    done = [t for t in trials if all(np.isfinite(goal.value(t)) for goal in goals)]
    best = [trial for trial in done if trial.number in front]
    rest = [trial for trial in done if trial.number not in front]
    pairs = list(combinations(goals, 2))
    columns = min(_COLUMNS, len(pairs))
    lines = -(-len(pairs) // columns)
    size = _ALONE if len(pairs) == 1 else (columns * _PANEL[0] + 0.4, lines * _PANEL[1] + 1.0)
    with house_style():
        figure = empty_figure(*size)
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (across, up) in zip(grid, pairs, strict=False):
            _draw_pair(axes, rest, best, across, up)
            if len(goals) == 2:
                _draw_edge(axes, best, across, up)
        for axes in grid[len(pairs) :]:
            axes.set_visible(False)
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper")
        ways = ", ".join(f"{goal.name}: {goal.better}" for goal in goals)
        describe(figure, title, f"{ways}. Trials on the front are numbered if there is room.")
        figure.draw_without_rendering()  # the numbers' places depend on the final layout
        for axes, (across, up) in zip(grid, pairs, strict=False):
            _number(axes, best, _points(best, across, up), _points(rest, across, up))
    return figure


def _points(trials: Sequence[TrialRecord], across: Goal, up: Goal) -> NDArray[np.float64]:
    """Return the values (N, 2) of trials."""
    return np.array([(across.value(t), up.value(t)) for t in trials]).reshape(-1, 2)


def _draw_pair(
    axes: Axes, rest: Sequence[TrialRecord], best: Sequence[TrialRecord], across: Goal, up: Goal
) -> None:
    style: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.4}
    if rest:
        label = counted("dominated", len(rest))
        x, y = _points(rest, across, up).T
        axes.scatter(x, y, s=22, c=PALETTE[0], alpha=0.4, label=label, **style)
    x, y = _points(best, across, up).T
    axes.scatter(x, y, s=44, c=BEST, zorder=3, label=counted("on the front", len(best)), **style)
    every = _points([*rest, *best], across, up)
    fit_scale(axes.xaxis, every[:, 0])
    fit_scale(axes.yaxis, every[:, 1])
    axes.set(xlabel=across.name, ylabel=up.name)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _draw_edge(axes: Axes, best: Sequence[TrialRecord], across: Goal, up: Goal) -> None:
    """Draw the border of the region that the front dominates."""
    points = _points(best, across, up)
    points = points[np.argsort(points[:, 0], kind="stable")]
    style = "steps-post" if across.direction == "minimize" else "steps-pre"
    axes.plot(*points.T, drawstyle=style, color=BEST, lw=1, zorder=2)


def _number(
    axes: Axes,
    best: Sequence[TrialRecord],
    own: NDArray[np.float64],
    others: NDArray[np.float64],
) -> None:
    """Write trial numbers beside their points, if they cover no point or other number."""
    every = axes.transData.transform(np.concatenate([own, others]))
    taken: list[Bbox] = []
    for trial, (x, y) in zip(best, own, strict=True):
        for right, higher in _OFFSETS:
            text = axes.annotate(
                *(str(trial.number), (x, y), (right, higher)),
                textcoords="offset points",
                ha="center" if not right else "left" if right > 0 else "right",
                va="bottom" if higher > 0 else "top",
                fontsize=8,
            )
            box = text.get_window_extent()
            hides = box.padded(_RADIUS).count_contains(every)
            if not hides and not any(box.overlaps(one) for one in taken):
                taken.append(box)
                break
            text.remove()
