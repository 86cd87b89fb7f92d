"""One worker: it claims trials, runs them, and gives signs of life."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from latentkit.plugin import BLAMELESS, Budget, Objective, StudyStopped, TrialPruned
from latentkit_gridsearch.database import RecordsError
from latentkit_gridsearch.owners import Owner
from latentkit_gridsearch.records import Claim, Records

_POLL_SECONDS = 0.1
_BEATS_PER_GRACE = 4


class StoredTrial:
    """A `latentkit.plugin.Trial` that is stored at every report and note; it is never pruned."""

    def __init__(self, claim: Claim, tell: Callable[[], None]) -> None:
        self.number = claim.number
        self.params: Mapping[str, Any] = claim.params
        self._claim = claim
        self._tell = tell

    def report(self, epoch: int, value: float) -> None:
        """Store the objective's value after ``epoch``."""
        self._claim.reports[int(epoch)] = float(value)
        self._tell()

    def note(self, key: str, value: Any) -> None:
        """Store a JSON value with the trial."""
        self._claim.notes[key] = value
        self._tell()


def work(
    records: Records,
    params: Callable[[int], Mapping[str, Any]],
    objective: Objective,
    objectives: int,
    budget: Budget,
    grace: float,
) -> None:
    """Run trials until the budget is spent.

    Args:
        records: record of the study, which must exist.
        params: function that returns the parameters of a trial by its number.
        objective: function that runs a trial.
        objectives: number of values that the objective returns.
        budget: largest number of trials, including stored ones, and of seconds.
        grace: seconds of silence after which a worker on another machine counts as dead.
    """
    end = math.inf if budget.seconds is None else time.monotonic() + budget.seconds
    with _at_work(records, grace) as owner:
        while time.monotonic() < end:
            claim = records.claim(owner, params, budget.trials)
            if claim == "over":
                return
            if isinstance(claim, Claim):
                _run(records, owner, claim, objective, objectives)
            else:
                time.sleep(_POLL_SECONDS)


@contextmanager
def _at_work(records: Records, grace: float) -> Iterator[Owner]:
    """Give signs of life within the block, and release an unfinished trial at its end."""
    owner, ended = Owner(), threading.Event()
    owner.begin()

    def beat() -> None:
        while not ended.wait(grace / _BEATS_PER_GRACE):
            with suppress(RecordsError):
                records.beat(owner)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield owner
    finally:
        owner.end()
        ended.set()
        # If the release fails, the trial counts as waiting anyway, because its owner has ended.
        with suppress(RecordsError):
            records.release(owner)
        heart.join()


def _run(
    records: Records, owner: Owner, claim: Claim, objective: Objective, objectives: int
) -> None:
    trial = StoredTrial(claim, lambda: records.tell(owner, claim))
    try:
        values = _checked(objective(trial), objectives)
    except BLAMELESS:  # `_at_work` lets the trial wait
        raise
    except TrialPruned:
        records.finish(owner, claim, "pruned")
    except StudyStopped as stop:
        records.finish(owner, claim, "failed", error=str(stop))
        raise
    except Exception as error:
        records.finish(owner, claim, "failed", error=f"{type(error).__name__}: {error}")
    else:
        records.finish(owner, claim, "complete", values)


def _checked(given: Sequence[float], objectives: int) -> list[float]:
    values = [float(value) for value in given]
    if len(values) != objectives:
        raise ValueError(f"the objective returned {len(values)} values, expected {objectives}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"the objective returned {values}, expected finite numbers")
    return values
