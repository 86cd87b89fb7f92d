"""What the checks share: a small study, and an objective that remembers what it was handed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from latentkit.plugin import (
    Budget,
    Objective,
    SearchChoice,
    SearchRange,
    StudyResult,
    StudyTask,
    Trial,
    TrialRecord,
    Tuner,
)
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.studies import Direction

Make = Callable[[], Tuner]

SPACE: Mapping[str, SearchDomain] = {
    "rate": SearchRange(1e-4, 1e-1, log=True),
    "share": SearchRange(0.0, 1.0),
    # Whatever a tuner makes of a range, these alone are more than a check asks for.
    "size": SearchChoice(tuple(range(8, 40))),
}


def require(condition: bool, sentence: str) -> None:
    """Raise an AssertionError with the sentence unless the condition holds."""
    if not condition:
        raise AssertionError(sentence)


def cost(params: Mapping[str, Any]) -> float:
    """Return a number that follows from parameters of `SPACE`."""
    rate = math.log10(params["rate"])
    return float((rate + 2) ** 2 + params["share"] + abs(params["size"] - 11) / 8)


@dataclass
class Seen:
    """An objective that remembers each trial it was handed.

    Args:
        act: what it does with a trial; the values are `cost` unless given.
        handed: number and parameters, in the order of calls.
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
    """Return a study at ``storage``."""
    return StudyTask(name, storage, space, directions, seed=7, identity=identity)


def optimized(
    make: Make, asked: StudyTask, trials: int, objective: Objective | None = None
) -> StudyResult:
    """Run a study with a new tuner until it holds ``trials`` finished trials."""
    return make().optimize(objective or Seen(), asked, Budget(trials=trials))


def loaded(make: Make, asked: StudyTask) -> StudyResult:
    """Return what is stored of a study that was begun."""
    result = make().load(asked)
    if result is None:
        raise AssertionError("load gave None for a study that was begun")
    return result


def record_of(result: StudyResult, number: int) -> TrialRecord:
    """Return the trial of that number."""
    for trial in result.trials:
        if trial.number == number:
            return trial
    raise AssertionError(f"the study holds no trial {number}")


def interrupted(make: Make, asked: StudyTask, trials: int, at: int) -> Seen:
    """Run a study whose trial ``at`` is interrupted as by Ctrl-C, and return what was handed."""

    def act(trial: Trial) -> Sequence[float]:
        if trial.number == at:
            raise KeyboardInterrupt
        return (cost(trial.params),)

    seen = Seen(act)
    with suppress(KeyboardInterrupt):
        optimized(make, asked, trials, seen)
    return seen


def alike(one: StudyResult, other: StudyResult) -> bool:
    """Return whether two results tell the same of every trial, the seconds left aside."""
    return [_told(trial) for trial in one.trials] == [_told(trial) for trial in other.trials]


def _told(trial: TrialRecord) -> tuple[Any, ...]:
    told = (trial.number, trial.state, dict(trial.params), tuple(trial.values))
    return (*told, dict(trial.reports), dict(trial.notes), trial.error)
