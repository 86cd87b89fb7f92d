"""Exactly as many trials finish as are asked for, over all calls."""

from __future__ import annotations

from collections.abc import Sequence

from latentkit.plugin import Budget, StudyResult, Trial
from latentkit.testing.tuner_checks.studies import Make, Seen, optimized, require, task


def check_exactly_the_budget_is_run(make: Make, storage: str) -> None:
    """As many trials are begun, and finish, as the budget says."""
    seen = Seen()
    result = optimized(make, task(storage), 5, seen)
    _require_numbers(result, 5)
    numbers = [number for number, _ in seen.handed]
    require(numbers == list(range(5)), f"of 5 trials those with numbers {numbers} were begun")


def check_a_larger_budget_continues(make: Make, storage: str) -> None:
    """Asked again for more, a study goes on where it ended."""
    optimized(make, task(storage), 3)
    seen = Seen()
    result = optimized(make, task(storage), 7, seen)
    numbers = [number for number, _ in seen.handed]
    require(numbers == [3, 4, 5, 6], f"3 trials gone on with to 7 began the numbers {numbers}")
    _require_numbers(result, 7)


def check_a_spent_budget_runs_nothing(make: Make, storage: str) -> None:
    """Asked again for as many or fewer, a study is given back as it is."""
    stored = len(optimized(make, task(storage), 3).trials)
    for trials in (3, 1):
        seen = Seen()
        result = optimized(make, task(storage), trials, seen)
        require(not seen.handed, f"a study of 3 trials that is asked for {trials} began another")
        found = len(result.trials)
        require(found == stored, f"of {stored} stored trials {found} came back")


def check_failed_and_pruned_trials_count(make: Make, storage: str) -> None:
    """A trial that fails is one of the budget's."""

    def act(trial: Trial) -> Sequence[float]:
        raise ValueError("no good")

    seen = Seen(act)
    optimized(make, task(storage), 4, seen)
    require(len(seen.handed) == 4, f"of 4 trials that all fail {len(seen.handed)} were begun")


def check_no_time_begins_no_trial(make: Make, storage: str) -> None:
    """A budget of zero seconds is spent before the first trial."""
    seen = Seen()
    result = make().optimize(seen, task(storage), Budget(trials=3, seconds=0))
    require(not seen.handed, "a trial was begun within zero seconds")
    require(not result.trials, "a study without time holds a trial")


def check_time_that_suffices_changes_nothing(make: Make, storage: str) -> None:
    """A budget of many seconds is one of trials."""
    result = make().optimize(Seen(), task(storage), Budget(trials=3, seconds=3600))
    _require_numbers(result, 3)


def _require_numbers(result: StudyResult, trials: int) -> None:
    numbers = [trial.number for trial in result.trials]
    require(numbers == list(range(trials)), f"{trials} trials were asked for, {numbers} are there")
    unfinished = [trial.number for trial in result.trials if not trial.finished]
    require(not unfinished, f"the trials {unfinished} are not finished")
