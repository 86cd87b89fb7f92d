"""What a tuner receives, and what it returns.

A tuner chooses parameters and stores the record of a study. It does not train: the objective does
that, without knowing how the parameters are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from latentkit.errors import BrokenEnvironmentError, DataError, StorageError
from latentkit.plugin.options import SearchDomain

Direction = Literal["minimize", "maximize"]
TrialState = Literal["complete", "pruned", "failed", "running", "waiting"]


class TrialPruned(Exception):  # noqa: N818
    """Raised by `Trial.report` when the trial is not worth finishing."""


class StudyStopped(Exception):  # noqa: N818
    """Raised by an objective when its trial failed and this worker should start no other trial.

    The tuner records the trial as failed with the exception's text, and does not catch the
    exception.
    """


class Trial(Protocol):
    """One trial, as the objective sees it.

    A trial that was interrupted or killed is handed out again under the same number with the
    same parameters.
    """

    number: int
    params: Mapping[str, Any]

    def report(self, epoch: int, value: float) -> None:
        """Report the objective's value after ``epoch``; an epoch may be reported again.

        It is not called in a study with several objectives.

        Raises:
            TrialPruned: the tuner stops this trial early. Do not catch it.
        """
        ...

    def note(self, key: str, value: Any) -> None:
        """Store a JSON value with the trial; `TrialRecord.notes` returns it."""
        ...


Objective = Callable[[Trial], Sequence[float]]
"""Runs one trial to its end and returns a value for each direction of the study."""

BLAMELESS = (StorageError, DataError, BrokenEnvironmentError)
"""Errors of an objective that every other trial would meet, too, because a folder cannot be
written, the images are missing or damaged, or a device or package is missing.

A tuner does not record the trial as failed: it lets the trial wait, and does not catch the error.
"""


@dataclass(frozen=True)
class StudyTask:
    """What to search, and where to store the record.

    Args:
        name: the study's name in the storage. An existing study of this name is continued.
        storage: SQLAlchemy URL. Every trial is stored when it starts and when it ends.
        space: the search space, by parameter name.
        directions: one for each of the objective's values; several make a Pareto front.
        seed: the same seed gives the same parameters, trial by trial, with one worker at a time.
        first: parameters for the first trial, if the tuner can choose them: the values that are
            used without a study. They are in the space, but some parameters may be missing.
        identity: text that is stored with the study. It determines what a trial is, so a tuner
            refuses a stored study with a different text and raises a `latentkit.errors.UserError`.
        trusted: whether this user made the storage, or named it now. Other storages may come from a
            stranger: a tuner must not execute what they contain, such as a pickle.
    """

    name: str
    storage: str = field(repr=False)  # it may contain a password
    space: Mapping[str, SearchDomain]
    directions: tuple[Direction, ...]
    seed: int
    first: Mapping[str, Any] = field(default_factory=dict)
    identity: str = ""
    trusted: bool = False


@dataclass(frozen=True)
class Budget:
    """When a study ends: after ``trials`` finished trials or after ``seconds``.

    Completed, pruned and failed trials count, over all workers and all earlier calls. The seconds
    are those of this worker.
    """

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class TrialRecord:
    """The stored record of a trial.

    Args:
        number: from 0, without gaps.
        state: ``waiting`` means that the trial was started and waits to be resumed.
        params: parameter name to value.
        values: one for each direction; empty unless the trial completed.
        seconds: from its start to its end, or until now.
        reports: reported values, by epoch.
        notes: values stored with `Trial.note`, by key.
        error: why it failed; empty unless it failed.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: tuple[float, ...] = ()
    seconds: float = 0.0
    reports: Mapping[int, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether the trial completed, was pruned, or failed."""
        return self.state in ("complete", "pruned", "failed")


@dataclass(frozen=True)
class StudyResult:
    """All trials of a study, in order of their numbers."""

    name: str
    directions: tuple[Direction, ...]
    trials: tuple[TrialRecord, ...]

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the best first objective, or None."""
        return min(self._completed, key=lambda t: (self._costs(t)[0], t.number), default=None)

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front: completed trials that no other dominates, in order of numbers."""
        done = self._completed
        return tuple(t for t in done if not any(self._surpasses(o, t) for o in done))

    @property
    def early_epoch(self) -> int | None:
        """The last epoch that all trials reached, if more were pruned than completed, else None.

        All completed and pruned trials can be compared by their values at this epoch. It is also
        None if a trial reported no value.
        """
        ran = [trial for trial in self.trials if trial.state in ("complete", "pruned")]
        if len(ran) <= 2 * len(self._completed):
            return None
        return min(max(trial.reports, default=0) for trial in ran) or None

    @property
    def _completed(self) -> list[TrialRecord]:
        return [trial for trial in self.trials if trial.state == "complete"]

    def _costs(self, trial: TrialRecord) -> tuple[float, ...]:
        """Return the values of a trial with signs such that smaller is better."""
        signs = (1 if direction == "minimize" else -1 for direction in self.directions)
        return tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))

    def _surpasses(self, one: TrialRecord, other: TrialRecord) -> bool:
        """Return whether ``one`` dominates ``other``: nowhere worse and somewhere better."""
        ours, theirs = self._costs(one), self._costs(other)
        return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


class Tuner(Protocol):
    """What the target of a `TunerSpec` builds."""

    def optimize(self, objective: Objective, task: StudyTask, budget: Budget) -> StudyResult:
        """Run trials until the budget is spent; any number of other workers may do the same.

        Trials that were started but have no worker any more are resumed first. Over all workers,
        exactly ``budget.trials`` trials finish, or fewer if the space contains fewer.

        Args:
            objective: called once for each trial. If it raises an `Exception`, the trial is
                recorded as failed, with the reason. On a KeyboardInterrupt, the trial waits to be
                resumed.
            task: what to search.
            budget: when to stop; trials that are already stored count.

        Raises:
            latentkit.errors.UserError: the stored study has a different identity, or the tuner
                does not support this kind of storage.
            latentkit.errors.StorageError: the storage cannot be reached.
        """
        ...

    def load(self, task: StudyTask) -> StudyResult | None:
        """Return the stored study, even while others work on it; None if nothing is stored.

        Raises:
            latentkit.errors.StorageError: the storage cannot be reached.
        """
        ...


@runtime_checkable
class HasImportances(Protocol):
    """A tuner that can estimate how much each parameter matters."""

    def importances(self, task: StudyTask, epoch: int | None = None) -> Mapping[str, float]:
        """Return each parameter's share of the first objective's variation; the shares sum to 1.

        The result is empty if there are too few trials.

        Args:
            task: as in `Tuner.optimize`.
            epoch: use the values that completed and pruned trials reported for this epoch. With
                None, use the final values of completed trials.
        """
        ...
