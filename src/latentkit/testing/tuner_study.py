"""Helpers of the checks: a small study, and an objective that records its trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from latentkit.plugin import (
    Budget,
    Direction,
    Objective,
    SearchChoice,
    SearchDomain,
    SearchRange,
    StudyResult,
    StudyTask,
    Trial,
    TrialRecord,
    Tuner,
)

Make = Callable[[], Tuner]

SPACE: Mapping[str, SearchDomain] = {
    "rate": SearchRange(1e-4, 1e-1, log=True),
    "share": SearchRange(0.0, 1.0),
    # These choices alone exceed every budget, however few values a tuner takes from a range.
    "size": SearchChoice(tuple(range(8, 40))),
}


def require(condition: bool, sentence: str) -> None:
    """Raise an AssertionError with ``sentence`` unless the condition holds."""
    if not condition:
        raise AssertionError(sentence)


def cost(params: Mapping[str, Any]) -> float:
    """Return the objective's value for parameters of `SPACE`."""
    rate = math.log10(params["rate"])
    return float((rate + 2) ** 2 + params["share"] + abs(params["size"] - 11) / 8)


@dataclass
class Seen:
    """An objective that records each trial it is called with.

    Args:
        act: function that runs a trial; by default, its value is `cost`.
        handed: number and parameters of each trial, in the order of calls.
    """

    act: Objective = lambda trial: (cost(trial.params),)
    handed: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, trial: Trial) -> Sequence[float]:
        """Run the trial."""
        self.handed.append((trial.number, dict(trial.params)))
        return self.act(trial)


def task(
    storage: str,
    *,
    name: str = "check",
    space: Mapping[str, SearchDomain] = SPACE,
    directions: tuple[Direction, ...] = ("minimize",),
    identity: str = "one",
) -> StudyTask:
    """Return the task of a study in ``storage``."""
    return StudyTask(name, storage, space, directions, seed=7, identity=identity)


def optimized(
    make: Make, asked: StudyTask, trials: int, objective: Objective | None = None
) -> StudyResult:
    """Run a study with a new tuner until it has ``trials`` finished trials."""
    return make().optimize(objective or Seen(), asked, Budget(trials=trials))


def loaded(make: Make, asked: StudyTask) -> StudyResult:
    """Load a study that exists, with a new tuner."""
    result = make().load(asked)
    if result is None:
        raise AssertionError("load returned None for a study that exists")
    return result


def record_of(result: StudyResult, number: int) -> TrialRecord:
    """Return the record of trial ``number``."""
    for trial in result.trials:
        if trial.number == number:
            return trial
    raise AssertionError(f"the study has no trial {number}")


def interrupted(make: Make, asked: StudyTask, trials: int, at: int) -> Seen:
    """Run a study whose trial ``at`` is interrupted as by Ctrl-C, and return its objective."""

    def act(trial: Trial) -> Sequence[float]:
        if trial.number == at:
            raise KeyboardInterrupt
        return (cost(trial.params),)

    seen = Seen(act)
    with suppress(KeyboardInterrupt):
        optimized(make, asked, trials, seen)
    return seen


def alike(one: StudyResult, other: StudyResult) -> bool:
    """Return whether the trials of two results are equal, apart from their seconds."""
    return [_told(trial) for trial in one.trials] == [_told(trial) for trial in other.trials]


def _told(trial: TrialRecord) -> tuple[Any, ...]:
    told = (trial.number, trial.state, dict(trial.params), tuple(trial.values))
    return (*told, dict(trial.reports), dict(trial.notes), trial.error)
