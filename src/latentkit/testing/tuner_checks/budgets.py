"""Checks of budgets: over all calls, exactly as many trials finish as requested."""

from __future__ import annotations

from collections.abc import Sequence

from latentkit.plugin import Budget, StudyResult, Trial
from latentkit.testing.tuner_checks.studies import Make, Seen, optimized, require, task


def check_exactly_the_budget_is_run(make: Make, storage: str) -> None:
    """Check that exactly the budgeted number of trials starts and finishes."""
    seen = Seen()
    result = optimized(make, task(storage), 5, seen)
    _require_numbers(result, 5)
    numbers = [number for number, _ in seen.handed]
    require(numbers == list(range(5)), f"for a budget of 5 trials, trials {numbers} were started")


def check_a_larger_budget_continues(make: Make, storage: str) -> None:
    """Check that a study with a larger budget continues where it ended."""
    optimized(make, task(storage), 3)
    seen = Seen()
    result = optimized(make, task(storage), 7, seen)
    numbers = [number for number, _ in seen.handed]
    require(
        numbers == [3, 4, 5, 6], f"a study continued from 3 to 7 trials started trials {numbers}"
    )
    _require_numbers(result, 7)


def check_a_spent_budget_runs_nothing(make: Make, storage: str) -> None:
    """Check that a study whose budget is already spent is returned unchanged."""
    stored = len(optimized(make, task(storage), 3).trials)
    for trials in (3, 1):
        seen = Seen()
        result = optimized(make, task(storage), trials, seen)
        require(
            not seen.handed, f"a study of 3 trials started another for a budget of {trials} trials"
        )
        found = len(result.trials)
        require(found == stored, f"{stored} trials are stored, but {found} were returned")


def check_failed_and_pruned_trials_count(make: Make, storage: str) -> None:
    """Check that a trial which fails counts towards the budget."""

    def act(trial: Trial) -> Sequence[float]:
        raise ValueError("no good")

    seen = Seen(act)
    optimized(make, task(storage), 4, seen)
    require(
        len(seen.handed) == 4,
        f"for a budget of 4 trials that all fail, {len(seen.handed)} were started",
    )


def check_no_time_begins_no_trial(make: Make, storage: str) -> None:
    """Check that a budget of zero seconds starts no trial."""
    seen = Seen()
    result = make().optimize(seen, task(storage), Budget(trials=3, seconds=0))
    require(not seen.handed, "a trial was started with a budget of zero seconds")
    require(not result.trials, "a study with a budget of zero seconds has a trial")


def check_time_that_suffices_changes_nothing(make: Make, storage: str) -> None:
    """Check that a time limit which is long enough does not change the number of trials."""
    result = make().optimize(Seen(), task(storage), Budget(trials=3, seconds=3600))
    _require_numbers(result, 3)


def _require_numbers(result: StudyResult, trials: int) -> None:
    numbers = [trial.number for trial in result.trials]
    require(
        numbers == list(range(trials)),
        f"{trials} trials were requested, but the study has the numbers {numbers}",
    )
    unfinished = [trial.number for trial in result.trials if not trial.finished]
    require(not unfinished, f"trials {unfinished} are not finished")
