"""Helpers for the figures of a study: trial values, axis scales and colours by value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from numpy.typing import NDArray

from latentkit.figures.style import PALETTE, SEQUENTIAL, log_ticks
from latentkit.plugin.studies import Direction, TrialRecord

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
    told = sorted((epoch, v) for epoch, v in trial.reports.items() if math.isfinite(v))
    epochs, values = zip(*told, strict=True) if told else ((), ())
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
