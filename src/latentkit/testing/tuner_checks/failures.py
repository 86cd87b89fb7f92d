"""Checks of objectives that raise: the trial's state and error, and whether the study continues."""

from __future__ import annotations

import math
from collections.abc import Sequence

from latentkit.plugin import StudyStopped, Trial, TrialPruned
from latentkit.testing.tuner_checks.studies import (
    Make,
    Seen,
    cost,
    interrupted,
    loaded,
    optimized,
    record_of,
    require,
    task,
)


def check_a_failing_trial_is_recorded_and_the_study_goes_on(make: Make, storage: str) -> None:
    """Check that a ValueError fails its trial and is recorded, and that later trials run."""
    asked = task(storage)
    result = optimized(make, asked, 4, _raising(ValueError("the net is too small"), at=1))
    for told in (result, loaded(make, asked)):
        failed = record_of(told, 1)
        require(failed.state == "failed", f"a trial that raised ValueError is {failed.state}")
        reason = "the net is too small" in failed.error
        require(
            reason, f"a trial failed with 'the net is too small', but {failed.error!r} is stored"
        )
        require(not failed.values, "a failed trial has values")
        others = [record_of(told, number) for number in (0, 2, 3)]
        require(
            all(trial.state == "complete" and not trial.error for trial in others),
            "after a trial failed, another trial did not complete",
        )


def check_a_value_that_is_no_number_fails_its_trial(make: Make, storage: str) -> None:
    """Check that a NaN value fails its trial, with an error, and that later trials complete."""

    def act(trial: Trial) -> Sequence[float]:
        return (math.nan if trial.number == 0 else cost(trial.params),)

    result = optimized(make, task(storage), 3, act)
    state = record_of(result, 0).state
    require(state == "failed", f"a trial whose value is NaN is {state}")
    require(record_of(result, 0).error != "", "a trial whose value is NaN failed without an error")
    require(record_of(result, 2).state == "complete", "after a NaN value, no trial completes")


def check_a_stopped_study_ends_with_a_failed_trial(make: Make, storage: str) -> None:
    """Check that StudyStopped fails its trial, leaves ``optimize``, and starts no other trial."""
    asked, seen = task(storage), Seen(_raising(StudyStopped("the disk is full"), at=1))
    try:
        optimized(make, asked, 4, seen)
    except StudyStopped:
        pass
    else:
        raise AssertionError("an objective raised StudyStopped, but optimize did not")
    require(len(seen.handed) == 2, "a trial was started after StudyStopped")
    stopped = record_of(loaded(make, asked), 1)
    require(stopped.state == "failed", f"a trial that raised StudyStopped is {stopped.state}")
    reason = "the disk is full" in stopped.error
    require(reason, f"a trial failed with 'the disk is full', but {stopped.error!r} is stored")


def check_a_pruned_trial_is_recorded(make: Make, storage: str) -> None:
    """Check that TrialPruned from the objective gives a pruned trial without values."""
    asked = task(storage)
    optimized(make, asked, 3, _raising(TrialPruned("given up"), at=1))
    pruned, after = (record_of(loaded(make, asked), number) for number in (1, 2))
    require(pruned.state == "pruned", f"a trial that raised TrialPruned is {pruned.state}")
    require(not pruned.values and not pruned.error, "a pruned trial has values or an error")
    require(after.state == "complete", f"the trial after a pruned one is {after.state}")


def check_an_interrupt_passes_through(make: Make, storage: str) -> None:
    """Check that KeyboardInterrupt leaves ``optimize`` and starts no other trial."""
    seen = Seen(_raising(KeyboardInterrupt(), at=2))
    try:
        optimized(make, task(storage), 5, seen)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("an objective raised KeyboardInterrupt, but optimize did not")
    require(len(seen.handed) == 3, "a trial was started after KeyboardInterrupt")


def check_an_interrupted_trial_waits(make: Make, storage: str) -> None:
    """Check that an interrupted trial is stored as waiting, and earlier trials as complete."""
    asked = task(storage)
    interrupted(make, asked, trials=5, at=2)
    states = [trial.state for trial in loaded(make, asked).trials[:3]]
    require(states[:2] == ["complete"] * 2, f"trials before an interrupt are {states[:2]}")
    require(states[2:] == ["waiting"], f"an interrupted trial is {states[2:]}")


def check_an_interrupted_trial_is_gone_on_with_first(make: Make, storage: str) -> None:
    """Check that the next call first resumes the interrupted trial, with its parameters."""
    asked = task(storage)
    before = interrupted(make, asked, trials=5, at=2).handed
    after = Seen()
    optimized(make, asked, 5, after)
    require(bool(after.handed), "after an interrupt, no trial is started")
    require(
        after.handed[0] == before[2],
        f"trial {before[2]} was interrupted, but the next call started with {after.handed[0]}",
    )
    numbers = [number for number, _ in after.handed]
    ahead = list(range(2, 2 + len(numbers)))
    require(numbers == ahead, f"after an interrupt of trial 2, trials {numbers} were started")


def _raising(error: BaseException, at: int) -> Seen:
    """Return an objective that raises in trial ``at``, but only the first time."""

    def act(trial: Trial) -> Sequence[float]:
        if trial.number == at and [number for number, _ in seen.handed].count(at) == 1:
            raise error
        return (cost(trial.params),)

    seen = Seen(act)
    return seen
