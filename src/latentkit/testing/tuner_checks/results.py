"""Checks of results: the best trial in each direction, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from latentkit.plugin import Trial
from latentkit.plugin.studies import Direction
from latentkit.testing.tuner_checks.studies import Make, loaded, optimized, require, task

_VALUES = (3.0, -1.0, 7.0, 2.0)
_PAIRS = ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (0.0, 0.0), (2.0, 1.0))
_FRONT = [0, 1, 3]
"""The Pareto front of `_PAIRS` if the first value is minimised and the second maximised."""


def check_the_least_is_best_when_minimised(make: Make, storage: str) -> None:
    """Check that the best trial has the least value if the objective is minimised."""
    _require_best(make, storage, "minimize", number=1)


def check_the_greatest_is_best_when_maximised(make: Make, storage: str) -> None:
    """Check that the best trial has the greatest value if the objective is maximised."""
    _require_best(make, storage, "maximize", number=2)


def check_two_objectives_make_a_front(make: Make, storage: str) -> None:
    """Check that records have one value per direction, and that the front is not dominated."""

    def act(trial: Trial) -> Sequence[float]:
        return _PAIRS[trial.number % len(_PAIRS)]

    asked = task(storage, directions=("minimize", "maximize"))
    given = optimized(make, asked, len(_PAIRS), act)
    for result in (given, loaded(make, asked)):
        values = [tuple(trial.values) for trial in result.trials[: len(_PAIRS)]]
        require(values == list(_PAIRS), f"objectives returned {_PAIRS}, but {values} are recorded")
        require(result.directions == asked.directions, f"the directions are {result.directions}")
        front = [trial.number for trial in result.front if trial.number < len(_PAIRS)]
        require(front == _FRONT, f"the front of {_PAIRS} is {front}, not {_FRONT}")


def _require_best(make: Make, storage: str, direction: Direction, number: int) -> None:
    def act(trial: Trial) -> Sequence[float]:
        return (_VALUES[trial.number % len(_VALUES)],)

    asked = task(storage, directions=(direction,))
    given = optimized(make, asked, len(_VALUES), act)
    for result in (given, loaded(make, asked)):
        best = result.best
        require(
            best is not None and best.number == number,
            f"for the values {_VALUES} and direction {direction!r}, the best trial is {best}",
        )
