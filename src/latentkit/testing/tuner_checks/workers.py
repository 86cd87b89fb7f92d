"""Checks of several processes that work on one study."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from latentkit.plugin import StudyTask, Trial
from latentkit.testing.tuner_checks.studies import Make, cost, loaded, optimized, require, task

_TRIALS = 12
_SECONDS = 240.0
"""How long two workers may take, including the start of two Python processes and imports."""


def check_two_workers_share_a_study(make: Make, storage: str) -> None:
    """Check that two processes share the budget: each trial runs exactly once and completes."""
    _require_picklable(make)
    context = multiprocessing.get_context("spawn")
    handed: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    barrier, asked = context.Barrier(2), task(storage)
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
    require(
        numbers == list(range(_TRIALS)),
        f"two workers started trials {numbers}, expected 0 to {_TRIALS - 1}, each once",
    )
    require(len({worker for _, worker in begun}) == 2, "one of two workers ran no trial")
    stored = [(trial.number, trial.state) for trial in loaded(make, asked).trials]
    expected = [(number, "complete") for number in range(_TRIALS)]
    require(stored == expected, f"two workers stored the trials {stored}, expected {expected}")


def _work(
    make: Make, asked: StudyTask, barrier: Barrier, handed: SimpleQueue[tuple[int, int]]
) -> None:
    """Run one worker, which starts at the same time as the other."""

    def act(trial: Trial) -> Sequence[float]:
        handed.put((trial.number, os.getpid()))
        time.sleep(0.05)
        return (cost(trial.params),)

    barrier.wait(_SECONDS)
    optimized(make, asked, _TRIALS, act)


def _join(workers: Sequence[SpawnProcess]) -> None:
    """Wait for the workers, kill those that do not end, and require that all ended well."""
    end = time.monotonic() + _SECONDS
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()
        worker.join()
    require(None not in codes, f"two workers did not end within {_SECONDS:.0f} s")
    require(not any(codes), f"two workers ended with exit codes {codes}")


def _require_picklable(make: Make) -> None:
    try:
        pickle.dumps(make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(
            f"make cannot be pickled for another process: pass functools.partial(build, options): "
            f"{error}"
        ) from error
