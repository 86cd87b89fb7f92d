"""Pareto fronts: the trade-offs between several objectives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, describe, empty_figure, house_style
from latentkit.figures.trials import BEST, Goal, counted, fit_scale
from latentkit.plugin.studies import TrialRecord

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
