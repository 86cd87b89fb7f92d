"""The effect of single parameters on the objective: slices and importances."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, PercentFormatter

from latentkit.figures.domains import spread_choices, ticks_of
from latentkit.figures.style import (
    PALETTE,
    SEQUENTIAL,
    cut,
    describe,
    empty_figure,
    house_style,
)
from latentkit.figures.trials import BEST, Goal, fit_scale
from latentkit.plugin.options import SearchChoice, SearchDomain
from latentkit.plugin.studies import TrialRecord

_COLUMNS = 4
_PANEL = 2.35, 2.5  # inches
_BAR = 0.32


def parameter_slices(
    trials: Sequence[TrialRecord], space: Mapping[str, SearchDomain], goal: Goal, title: str
) -> Figure:
    """Draw the objective over each parameter.

    Args:
        trials: at least one of them has a value; those without are not drawn.
        space: search domain of each parameter, by name; each has one panel.
        goal: the objective whose values are drawn.
        title: figure title.
    """
    done = goal.having(trials)
    best = goal.best(done)
    columns = max(1, min(_COLUMNS, len(space)))
    lines = max(1, -(-len(space) // columns))
    with house_style():
        width = max(5.0, columns * _PANEL[0] + 1.2)
        figure = empty_figure(width, lines * _PANEL[1] + 0.7)
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes, (name, domain) in zip(grid.ravel(), space.items(), strict=False):
            points = _draw_slice(axes, done, name, domain, goal)
        for axes in grid.ravel()[len(space) :]:
            axes.set_visible(False)
        fit_scale(grid[0, 0].yaxis, [goal.value(trial) for trial in done])
        for axes in grid[:, 0]:
            axes.set_ylabel(textwrap.fill(goal.name, 24), fontsize=9)
        bar = figure.colorbar(points, ax=grid, label="trial", aspect=12 * lines, pad=0.015)
        bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        said = f"{len(done):,} {goal.trials}; {goal.better}"
        star = f" Star: trial {best.number}, which has the best final value." if best else ""
        describe(figure, title, f"{said}.{star}")
    return figure


def _draw_slice(
    axes: Axes, done: Sequence[TrialRecord], name: str, domain: SearchDomain, goal: Goal
) -> Any:
    """Draw one panel and return its points."""
    having = [trial for trial in done if name in trial.params]
    values = [trial.params[name] for trial in having]
    chosen = isinstance(domain, SearchChoice)
    across = spread_choices(domain, values) if isinstance(domain, SearchChoice) else values
    heights = [goal.value(trial) for trial in having]
    points = axes.scatter(
        across,
        heights,
        c=[trial.number for trial in having],
        cmap=SEQUENTIAL,
        vmin=done[0].number,
        vmax=max(done[-1].number, done[0].number + 1),
        s=26,
        edgecolors="white",
        linewidths=0.4,
    )
    for place, trial in enumerate(having):
        if trial is goal.best(done):
            axes.plot(across[place], heights[place], "*", ms=13, color=BEST, mec="white")
    _dress_slice(axes, name, domain)
    axes.tick_params(axis="x", rotation=35 if chosen else 0)
    if chosen:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    return points


def _dress_slice(axes: Axes, name: str, domain: SearchDomain) -> None:
    if isinstance(domain, SearchChoice):
        axes.set_xlim(-0.6, len(domain.values) - 0.4)
    elif domain.log:
        axes.set_xscale("log")
        room = (domain.high / domain.low) ** 0.05
        axes.set_xlim(domain.low / room, domain.high * room)
    else:
        room = 0.05 * (domain.high - domain.low)
        axes.set_xlim(domain.low - room, domain.high + room)
    places, texts = zip(*ticks_of(domain), strict=True)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(places, texts)
    axes.tick_params(labelsize=7.5)
    axes.set_title(cut(name, 30), fontsize=9)
    axes.grid(alpha=0.25)


def importance_bars(shares: Mapping[str, float], title: str, caption: str = "") -> Figure:
    """Draw each parameter's share of the variation of an objective, largest first.

    Args:
        shares: share of each parameter, by name, in [0, 1].
        title: figure title.
        caption: text below the figure.
    """
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    places = np.arange(len(ordered))
    with house_style():
        figure = empty_figure(7.0, _BAR * len(ordered) + 1.3)
        axes = figure.subplots()
        axes.barh(places, [share for _, share in ordered], height=0.7, color=PALETTE[0])
        for place, (_, share) in enumerate(ordered):
            axes.text(share, place, f" {share:.1%}", va="center", fontsize=9)
        axes.set_yticks(places, [cut(name, 40) for name, _ in ordered])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlim(0, max([*shares.values(), 0.01]) * 1.12)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("share")
        describe(figure, title, caption)
    return figure
