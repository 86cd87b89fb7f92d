"""The best trial, in each direction, and the front of several."""

from __future__ import annotations

from collections.abc import Sequence

from latentkit.plugin import Trial
from latentkit.plugin.studies import Direction
from latentkit.testing.tuner_checks.studies import Make, loaded, optimized, require, task

_VALUES = (3.0, -1.0, 7.0, 2.0)
_PAIRS = ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (0.0, 0.0), (2.0, 1.0))
_FRONT = [0, 1, 3]
"""Of the pairs, where the first is minimised and the second maximised."""


def check_the_least_is_best_when_minimised(make: Make, storage: str) -> None:
    """The best trial has the least value."""
    _require_best(make, storage, "minimize", number=1)


def check_the_greatest_is_best_when_maximised(make: Make, storage: str) -> None:
    """The best trial has the greatest value."""
    _require_best(make, storage, "maximize", number=2)


def check_two_objectives_make_a_front(make: Make, storage: str) -> None:
    """Each record has a value for each direction, and none of the front is surpassed."""

    def act(trial: Trial) -> Sequence[float]:
        return _PAIRS[trial.number % len(_PAIRS)]

    asked = task(storage, directions=("minimize", "maximize"))
    given = optimized(make, asked, len(_PAIRS), act)
    for result in (given, loaded(make, asked)):
        values = [tuple(trial.values) for trial in result.trials[: len(_PAIRS)]]
        require(values == list(_PAIRS), f"objectives gave {_PAIRS}, the records have {values}")
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
            f"of the values {_VALUES} to {direction}, {best} is the best",
        )
