"""The tuners: parameters made from the trial number, and studies stored in SQLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from latentkit.plugin import Budget, Objective, StudyResult, StudyTask, Tuner
from latentkit_gridsearch.database import database_at
from latentkit_gridsearch.grid import Grid
from latentkit_gridsearch.options import GridOptions, RandomOptions
from latentkit_gridsearch.records import Records
from latentkit_gridsearch.sampler import Sampler
from latentkit_gridsearch.worker import work


class Proposals(Protocol):
    """Parameters by trial number; there are ``size`` of them, or arbitrarily many if it is None."""

    size: int | None

    def params(self, number: int) -> dict[str, Any]:
        """Return the parameters of trial ``number``."""
        ...


class NumberedTuner:
    """A `latentkit.plugin.Tuner` whose parameters depend only on the seed and the trial number.

    Args:
        plan: how parameters are made, in words. A stored study is only continued with its plan.
        propose: function that returns the parameters of a study.
        grace: seconds of silence after which a worker on another machine counts as dead.
    """

    def __init__(self, plan: str, propose: Callable[[StudyTask], Proposals], grace: float) -> None:
        self._plan = plan
        self._propose = propose
        self._grace = grace

    def optimize(self, objective: Objective, task: StudyTask, budget: Budget) -> StudyResult:
        """Run trials until the budget is spent or no parameters are left.

        Raises:
            UserError: a different study of this name is stored, the storage is not the URL of an
                SQLite file, or the grid has too many points.
            StorageError: the file cannot be written.
        """
        records, proposals = self._records(task), self._propose(task)
        records.begin()
        trials = budget.trials if proposals.size is None else min(budget.trials, proposals.size)
        asked = Budget(trials, budget.seconds)
        work(records, proposals.params, objective, len(task.directions), asked, self._grace)
        return records.load() or StudyResult(task.name, task.directions, ())

    def load(self, task: StudyTask) -> StudyResult | None:
        """Return the stored study, also while workers run it, or None if there is none.

        Raises:
            UserError: the storage is not the URL of an SQLite file.
            StorageError: the file cannot be read.
        """
        return self._records(task).load()

    def _records(self, task: StudyTask) -> Records:
        return Records(database_at(task.storage), task, self._plan, self._grace)


def build_grid(options: GridOptions) -> Tuner:
    """Return the tuner ``grid``."""
    order = ", shuffled" if options.shuffle else ""
    return NumberedTuner(
        f"a grid of {options.points} points a range{order}",
        lambda task: Grid(task.space, options, task.seed),
        options.grace,
    )


def build_random(options: RandomOptions) -> Tuner:
    """Return the tuner ``random``."""
    return NumberedTuner(
        "random parameters", lambda task: Sampler(task.space, task.seed), options.grace
    )
