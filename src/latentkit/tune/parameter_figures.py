"""The parameters of a study: side by side, one by one, and their importances."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, PercentFormatter
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, SEQUENTIAL, cut, describe, empty_figure, house_style
from latentkit.plugin.options import SearchChoice, SearchDomain, SearchRange, option_text
from latentkit.plugin.studies import TrialRecord
from latentkit.tune import study_figures

NAME_LENGTH = 16  # most characters in the name of a choice or an option
_TICKS = 5
_MOST_CHOICES = 24  # with more choices, some have no tick
_SPREAD = 0.5  # share of a choice's width over which its trials are spread

Ticks = list[tuple[float, str]]


def shares(
    domain: SearchDomain, values: Sequence[Any] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the positions of values in their domain: 0 is its low end, 1 its high end."""
    if isinstance(domain, SearchChoice):
        return (spread_choices(domain, values) + 0.5) / len(domain.values)
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    low, high = domain.low, domain.high
    if domain.log:
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    return (numbers - low) / (high - low)


def spread_choices(
    domain: SearchChoice, values: Sequence[Any] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the index of each value's choice; equal values are spread around that index.

    Args:
        domain: the choices.
        values: (N,); a value that is not a choice gives NaN.
    """
    places = np.array(
        [domain.values.index(v) if v in domain.values else np.nan for v in values], np.float64
    )
    for choice in range(len(domain.values)):
        own = np.flatnonzero(places == choice)
        if len(own) > 1:
            places[own] += np.linspace(-_SPREAD / 2, _SPREAD / 2, len(own))
    return places


def ticks_of(domain: SearchDomain) -> Ticks:
    """Return the axis ticks of a domain: values and their texts; choices have their index."""
    if isinstance(domain, SearchChoice):
        every = -(-len(domain.values) // _MOST_CHOICES)
        texts = [cut(option_text(value, NAME_LENGTH), NAME_LENGTH) for value in domain.values]
        return [(float(number), text) for number, text in enumerate(texts)][::every]
    values = _log_values(domain.low, domain.high) if domain.log else _even_values(domain)
    return list(zip(values, _texts(values), strict=True))


def _texts(values: Sequence[float]) -> list[str]:
    """Format numbers with four digits, or with more if they need them to differ."""
    slack = 0.02 * min(np.diff(values), default=math.inf)
    for digits in range(4, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if all(
            abs(float(text) - value) <= slack for text, value in zip(texts, values, strict=True)
        ):
            break
    return texts


def _log_values(low: float, high: float) -> list[float]:
    """Return two to five round numbers in a logarithmic range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tolerance = 1 + 1e-9
    for steps in ((1, 2, 5), (1, 3), (1,)):
        round_numbers = [step * 10.0**power for power in powers for step in steps]
        inside = [v for v in round_numbers if low / tolerance <= v <= high * tolerance]
        if 2 <= len(inside) <= _TICKS:
            return inside
    return inside[:: -(-len(inside) // _TICKS)] if len(inside) > _TICKS else [low, high]


def _even_values(domain: SearchRange) -> list[float]:
    whole = isinstance(domain.low, int) and isinstance(domain.high, int)
    whole = whole and (domain.step is None or isinstance(domain.step, int))
    values = MaxNLocator(_TICKS - 1, integer=whole).tick_values(domain.low, domain.high)
    return [float(value) for value in values if domain.low <= value <= domain.high]


def parameter_name(name: str) -> str:
    """Break a name such as ``model.latent_dim`` into two lines and shorten long ones."""
    return ".\n".join(cut(part, NAME_LENGTH) for part in name.split(".", 1))


_AXIS = 1.32  # inches from axis to axis
_HEIGHT = 4.6
_STRIP = 0.05  # width of the colour bar, as a share of the distance between two axes


def parallel_coordinates(
    trials: Sequence[TrialRecord],
    space: Mapping[str, SearchDomain],
    goal: study_figures.Goal,
    title: str,
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
        _draw_lines(axes, faint, study_figures.FAINT, 0.6)
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
    return SearchRange(low, high, log=study_figures.spans_decades(values))


def _draw_lines(
    axes: Axes, lines: Sequence[NDArray[np.float64]], colours: Any, width: float
) -> None:
    segments = [np.column_stack([np.arange(len(line)), line]) for line in lines]
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=width))


def _draw_completed(
    axes: Axes,
    trials: Sequence[TrialRecord],
    places: Sequence[NDArray[np.float64]],
    goal: study_figures.Goal,
    objective: SearchRange,
) -> None:
    """Draw trials that have a value, with better ones on top."""
    best = goal.best(trials)
    done = [(t, line) for t, line in zip(trials, places, strict=True) if goal.has_value(t)]
    values = np.array([goal.value(trial) for trial, _ in done])
    ends, colours = shares(objective, values), study_figures.shades(values, goal.direction)
    lines = [np.append(line, end) for (_, line), end in zip(done, ends, strict=True)]
    order = np.argsort(-study_figures.merits(values, goal.direction), kind="stable").tolist()
    rest = [place for place in order if done[place][0] is not best]
    _draw_lines(axes, [lines[place] for place in rest], colours[rest], 1.1)
    chosen = [line for line, (trial, _) in zip(lines, done, strict=True) if trial is best]
    _draw_lines(axes, chosen, study_figures.BEST, 2.4)


def _draw_axis(axes: Axes, x: float, name: str, domain: SearchDomain, beside: float = 0.04) -> None:
    """Draw an axis; its tick labels have a white background, so they are legible over lines."""
    axes.plot([x, x], [0, 1], color="#1d2430", lw=1)
    ground = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}
    axes.text(x, 1.05, name, ha="center", va="bottom", fontsize=8, weight="bold")
    for share, text in _shared_ticks(domain):
        axes.plot([x, x + 0.02], [share, share], color="#1d2430", lw=0.8)
        axes.text(*(x + beside, share, text), va="center", fontsize=7.5, bbox=ground, zorder=5)


def _draw_objective(
    axes: Axes,
    x: float,
    goal: study_figures.Goal,
    objective: SearchRange,
    values: NDArray[np.float64],
) -> None:
    """Draw the objective's axis with a colour bar beside it."""
    name = textwrap.fill(goal.name, NAME_LENGTH)
    _draw_axis(axes, x, name, objective, beside=_STRIP + 0.05)
    if values.min() < values.max():
        ramp = np.linspace(0, 1, 128)
        colours = study_figures.shade(ramp if goal.direction == "minimize" else 1 - ramp)
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


_COLUMNS = 4
_PANEL = 2.35, 2.5  # inches
_BAR = 0.32


def parameter_slices(
    trials: Sequence[TrialRecord],
    space: Mapping[str, SearchDomain],
    goal: study_figures.Goal,
    title: str,
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
        study_figures.fit_scale(grid[0, 0].yaxis, [goal.value(trial) for trial in done])
        for axes in grid[:, 0]:
            axes.set_ylabel(textwrap.fill(goal.name, 24), fontsize=9)
        bar = figure.colorbar(points, ax=grid, label="trial", aspect=12 * lines, pad=0.015)
        bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        said = f"{len(done):,} {goal.trials}; {goal.better}"
        star = f" Star: trial {best.number}, which has the best final value." if best else ""
        describe(figure, title, f"{said}.{star}")
    return figure


def _draw_slice(
    axes: Axes,
    done: Sequence[TrialRecord],
    name: str,
    domain: SearchDomain,
    goal: study_figures.Goal,
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
            axes.plot(
                across[place], heights[place], "*", ms=13, color=study_figures.BEST, mec="white"
            )
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
