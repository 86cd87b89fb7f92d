"""Checks of a tuner's trials: budgets, objectives that raise, and several processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import time
from collections.abc import Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from latentkit.plugin import Budget, StudyResult, StudyStopped, StudyTask, Trial, TrialPruned
from latentkit.testing import tuner_study


def check_exactly_the_budget_is_run(make: tuner_study.Make, storage: str) -> None:
    """Check that exactly the budgeted number of trials starts and finishes."""
    seen = tuner_study.Seen()
    result = tuner_study.optimized(make, tuner_study.task(storage), 5, seen)
    _require_numbers(result, 5)
    numbers = [number for number, _ in seen.handed]
    tuner_study.require(
        numbers == list(range(5)), f"for a budget of 5 trials, trials {numbers} were started"
    )


def check_a_larger_budget_continues(make: tuner_study.Make, storage: str) -> None:
    """Check that a study with a larger budget continues where it ended."""
    tuner_study.optimized(make, tuner_study.task(storage), 3)
    seen = tuner_study.Seen()
    result = tuner_study.optimized(make, tuner_study.task(storage), 7, seen)
    numbers = [number for number, _ in seen.handed]
    tuner_study.require(
        numbers == [3, 4, 5, 6], f"a study continued from 3 to 7 trials started trials {numbers}"
    )
    _require_numbers(result, 7)


def check_a_spent_budget_runs_nothing(make: tuner_study.Make, storage: str) -> None:
    """Check that a study whose budget is already spent is returned unchanged."""
    stored = len(tuner_study.optimized(make, tuner_study.task(storage), 3).trials)
    for trials in (3, 1):
        seen = tuner_study.Seen()
        result = tuner_study.optimized(make, tuner_study.task(storage), trials, seen)
        tuner_study.require(
            not seen.handed, f"a study of 3 trials started another for a budget of {trials} trials"
        )
        found = len(result.trials)
        tuner_study.require(
            found == stored, f"{stored} trials are stored, but {found} were returned"
        )


def check_failed_and_pruned_trials_count(make: tuner_study.Make, storage: str) -> None:
    """Check that a trial which fails counts towards the budget."""

    def act(trial: Trial) -> Sequence[float]:
        raise ValueError("this trial fails on purpose")

    seen = tuner_study.Seen(act)
    tuner_study.optimized(make, tuner_study.task(storage), 4, seen)
    tuner_study.require(
        len(seen.handed) == 4,
        f"for a budget of 4 trials that all fail, {len(seen.handed)} were started",
    )


def check_no_time_begins_no_trial(make: tuner_study.Make, storage: str) -> None:
    """Check that a budget of zero seconds starts no trial."""
    seen = tuner_study.Seen()
    result = make().optimize(seen, tuner_study.task(storage), Budget(trials=3, seconds=0))
    tuner_study.require(not seen.handed, "a trial was started with a budget of zero seconds")
    tuner_study.require(not result.trials, "a study with a budget of zero seconds has a trial")


def check_time_that_suffices_changes_nothing(make: tuner_study.Make, storage: str) -> None:
    """Check that a time limit which is long enough does not change the number of trials."""
    result = make().optimize(
        tuner_study.Seen(), tuner_study.task(storage), Budget(trials=3, seconds=3600)
    )
    _require_numbers(result, 3)


def _require_numbers(result: StudyResult, trials: int) -> None:
    numbers = [trial.number for trial in result.trials]
    tuner_study.require(
        numbers == list(range(trials)),
        f"{trials} trials were requested, but the study has the numbers {numbers}",
    )
    unfinished = [trial.number for trial in result.trials if not trial.finished]
    tuner_study.require(not unfinished, f"trials {unfinished} are not finished")


def check_a_failing_trial_is_recorded_and_the_study_goes_on(
    make: tuner_study.Make, storage: str
) -> None:
    """Check that a ValueError fails its trial and is recorded, and that later trials run."""
    asked = tuner_study.task(storage)
    result = tuner_study.optimized(
        make, asked, 4, _raising(ValueError("the net is too small"), at=1)
    )
    for told in (result, tuner_study.loaded(make, asked)):
        failed = tuner_study.record_of(told, 1)
        tuner_study.require(
            failed.state == "failed", f"a trial that raised ValueError is {failed.state}"
        )
        reason = "the net is too small" in failed.error
        tuner_study.require(
            reason, f"a trial failed with 'the net is too small', but {failed.error!r} is stored"
        )
        tuner_study.require(not failed.values, "a failed trial has values")
        others = [tuner_study.record_of(told, number) for number in (0, 2, 3)]
        tuner_study.require(
            all(trial.state == "complete" and not trial.error for trial in others),
            "after a trial failed, another trial did not complete",
        )


def check_a_value_that_is_no_number_fails_its_trial(make: tuner_study.Make, storage: str) -> None:
    """Check that a NaN value fails its trial, with an error, and that later trials complete."""

    def act(trial: Trial) -> Sequence[float]:
        return (math.nan if trial.number == 0 else tuner_study.cost(trial.params),)

    result = tuner_study.optimized(make, tuner_study.task(storage), 3, act)
    state = tuner_study.record_of(result, 0).state
    tuner_study.require(state == "failed", f"a trial whose value is NaN is {state}")
    tuner_study.require(
        tuner_study.record_of(result, 0).error != "",
        "a trial whose value is NaN failed without an error",
    )
    tuner_study.require(
        tuner_study.record_of(result, 2).state == "complete",
        "after a NaN value, no trial completes",
    )


def check_a_stopped_study_ends_with_a_failed_trial(make: tuner_study.Make, storage: str) -> None:
    """Check that ``optimize`` re-raises StudyStopped, stores a failed trial, and then stops."""
    asked, seen = (
        tuner_study.task(storage),
        tuner_study.Seen(_raising(StudyStopped("the disk is full"), at=1)),
    )
    try:
        tuner_study.optimized(make, asked, 4, seen)
    except StudyStopped:
        pass
    else:
        raise AssertionError("an objective raised StudyStopped, but optimize did not")
    tuner_study.require(len(seen.handed) == 2, "a trial was started after StudyStopped")
    stopped = tuner_study.record_of(tuner_study.loaded(make, asked), 1)
    tuner_study.require(
        stopped.state == "failed", f"a trial that raised StudyStopped is {stopped.state}"
    )
    reason = "the disk is full" in stopped.error
    tuner_study.require(
        reason, f"a trial failed with 'the disk is full', but {stopped.error!r} is stored"
    )


def check_a_pruned_trial_is_recorded(make: tuner_study.Make, storage: str) -> None:
    """Check that TrialPruned from the objective gives a pruned trial without values."""
    asked = tuner_study.task(storage)
    tuner_study.optimized(make, asked, 3, _raising(TrialPruned("given up"), at=1))
    pruned, after = (
        tuner_study.record_of(tuner_study.loaded(make, asked), number) for number in (1, 2)
    )
    tuner_study.require(
        pruned.state == "pruned", f"a trial that raised TrialPruned is {pruned.state}"
    )
    tuner_study.require(
        not pruned.values and not pruned.error, "a pruned trial has values or an error"
    )
    tuner_study.require(after.state == "complete", f"the trial after a pruned one is {after.state}")


def check_an_interrupt_passes_through(make: tuner_study.Make, storage: str) -> None:
    """Check that ``optimize`` re-raises KeyboardInterrupt and starts no other trial."""
    seen = tuner_study.Seen(_raising(KeyboardInterrupt(), at=2))
    try:
        tuner_study.optimized(make, tuner_study.task(storage), 5, seen)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("an objective raised KeyboardInterrupt, but optimize did not")
    tuner_study.require(len(seen.handed) == 3, "a trial was started after KeyboardInterrupt")


def check_an_interrupted_trial_waits(make: tuner_study.Make, storage: str) -> None:
    """Check that an interrupted trial is stored as waiting, and earlier trials as complete."""
    asked = tuner_study.task(storage)
    tuner_study.interrupted(make, asked, trials=5, at=2)
    states = [trial.state for trial in tuner_study.loaded(make, asked).trials[:3]]
    tuner_study.require(
        states[:2] == ["complete"] * 2, f"trials before an interrupt are {states[:2]}"
    )
    tuner_study.require(states[2:] == ["waiting"], f"an interrupted trial is {states[2:]}")


def check_an_interrupted_trial_is_gone_on_with_first(make: tuner_study.Make, storage: str) -> None:
    """Check that the next call first resumes the interrupted trial, with its parameters."""
    asked = tuner_study.task(storage)
    before = tuner_study.interrupted(make, asked, trials=5, at=2).handed
    after = tuner_study.Seen()
    tuner_study.optimized(make, asked, 5, after)
    tuner_study.require(bool(after.handed), "after an interrupt, no trial is started")
    tuner_study.require(
        after.handed[0] == before[2],
        f"trial {before[2]} was interrupted, but the next call started with {after.handed[0]}",
    )
    numbers = [number for number, _ in after.handed]
    ahead = list(range(2, 2 + len(numbers)))
    tuner_study.require(
        numbers == ahead, f"after an interrupt of trial 2, trials {numbers} were started"
    )


def _raising(error: BaseException, at: int) -> tuner_study.Seen:
    """Return an objective that raises in trial ``at``, but only the first time."""

    def act(trial: Trial) -> Sequence[float]:
        if trial.number == at and [number for number, _ in seen.handed].count(at) == 1:
            raise error
        return (tuner_study.cost(trial.params),)

    seen = tuner_study.Seen(act)
    return seen


_TRIALS = 12
_SECONDS = 240.0
"""How long two workers may take, including the start of two Python processes and imports."""


def check_two_workers_share_a_study(make: tuner_study.Make, storage: str) -> None:
    """Check that two processes share the budget: each trial runs exactly once and completes."""
    _require_picklable(make)
    context = multiprocessing.get_context("spawn")
    handed: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    barrier, asked = context.Barrier(2), tuner_study.task(storage)
    workers = [
        context.Process(target=_work, args=(make, asked, barrier, handed), daemon=True)
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    _join(workers)
    begun: list[tuple[int, int]] = []
    while not handed.empty():
        begun.append(handed.get())
    numbers = sorted(number for number, _ in begun)
    tuner_study.require(
        numbers == list(range(_TRIALS)),
        f"two workers started trials {numbers}, expected 0 to {_TRIALS - 1}, each once",
    )
    tuner_study.require(
        len({worker for _, worker in begun}) == 2, "one of two workers ran no trial"
    )
    stored = [(trial.number, trial.state) for trial in tuner_study.loaded(make, asked).trials]
    expected = [(number, "complete") for number in range(_TRIALS)]
    tuner_study.require(
        stored == expected, f"two workers stored the trials {stored}, expected {expected}"
    )


def _work(
    make: tuner_study.Make, asked: StudyTask, barrier: Barrier, handed: SimpleQueue[tuple[int, int]]
) -> None:
    """Run one worker, which starts at the same time as the other."""

    def act(trial: Trial) -> Sequence[float]:
        handed.put((trial.number, os.getpid()))
        time.sleep(0.05)
        return (tuner_study.cost(trial.params),)

    barrier.wait(_SECONDS)
    tuner_study.optimized(make, asked, _TRIALS, act)


def _join(workers: Sequence[SpawnProcess]) -> None:
    """Wait for the workers, kill those that do not end, and require that all ended well."""
    end = time.monotonic() + _SECONDS
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()
        worker.join()
    tuner_study.require(None not in codes, f"two workers did not end within {_SECONDS:.0f} s")
    tuner_study.require(not any(codes), f"two workers ended with exit codes {codes}")


def _require_picklable(make: tuner_study.Make) -> None:
    try:
        pickle.dumps(make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(
            f"make cannot be pickled for another process: pass functools.partial(build, options): "
            f"{error}"
        ) from error
