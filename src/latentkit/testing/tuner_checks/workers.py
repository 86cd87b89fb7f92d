"""Several processes at one study."""

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
"""How long two workers may take, the start of two Python processes and imports included."""


def check_two_workers_share_a_study(make: Make, storage: str) -> None:
    """Two processes finish the budget between them: every number once, none left over."""
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
    require(numbers == list(range(_TRIALS)), f"two workers began the numbers {numbers}")
    require(len({worker for _, worker in begun}) == 2, "one of two workers had no trial")
    stored = [(trial.number, trial.state) for trial in loaded(make, asked).trials]
    expected = [(number, "complete") for number in range(_TRIALS)]
    require(stored == expected, f"two workers left the trials {stored}")


def _work(
    make: Make, asked: StudyTask, barrier: Barrier, handed: SimpleQueue[tuple[int, int]]
) -> None:
    """Run one worker; both begin at once."""

    def act(trial: Trial) -> Sequence[float]:
        handed.put((trial.number, os.getpid()))
        time.sleep(0.05)
        return (cost(trial.params),)

    barrier.wait(_SECONDS)
    optimized(make, asked, _TRIALS, act)


def _join(workers: Sequence[SpawnProcess]) -> None:
    """Wait for workers to end well; those that do not end are killed."""
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
            f"make cannot be sent to another process, take functools.partial(build, options): "
            f"{error}"
        ) from error
