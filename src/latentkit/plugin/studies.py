"""What a tuner is handed, and what it gives back.

A tuner chooses parameters and keeps the record of a study; it trains nothing. The objective does
that, and knows nothing of how parameters are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from latentkit.plugin.options import SearchDomain

Direction = Literal["minimize", "maximize"]
TrialState = Literal["complete", "pruned", "failed", "running", "waiting"]


class TrialPruned(Exception):  # noqa: N818
    """Raised by `Trial.report` when the trial is not worth finishing."""


class StudyStopped(Exception):  # noqa: N818
    """Raised by an objective: the trial failed, and this worker shall begin no other.

    The tuner records the trial as failed with the exception's text, and lets it pass.
    """


class Trial(Protocol):
    """One trial, as the objective sees it.

    A trial that was interrupted or killed is handed out again under the same number with the
    same parameters.
    """

    number: int
    params: Mapping[str, Any]

    def report(self, epoch: int, value: float) -> None:
        """Tell the objective's value after ``epoch``; an epoch may be told again.

        Not called in a study of several objectives.

        Raises:
            TrialPruned: the tuner gives this trial up. Let it pass.
        """
        ...

    def note(self, key: str, value: Any) -> None:
        """Store a JSON value beside the trial: `TrialRecord.notes` gives it back."""
        ...


Objective = Callable[[Trial], Sequence[float]]
"""Runs one trial to its end and returns a value for each direction of the study."""


@dataclass(frozen=True)
class StudyTask:
    """What is searched, and where the record is kept.

    Args:
        name: of the study in the storage; one that is there is continued.
        storage: SQLAlchemy URL; every trial is stored as it begins and as it ends.
        space: where to look, by parameter name.
        directions: of the objective's values; one, or several for a Pareto front.
        seed: the same seed gives the same parameters, trial by trial, for one worker at a time.
        first: parameters that the first trial should have, where the tuner can choose that: what
            is used without a study. Values of the space, perhaps not of all its parameters.
        identity: text that the study is stored with. What a trial is follows from it, so a
            stored study with another one is refused with a `latentkit.errors.UserError`.
    """

    name: str
    storage: str
    space: Mapping[str, SearchDomain]
    directions: tuple[Direction, ...]
    seed: int
    first: Mapping[str, Any] = field(default_factory=dict)
    identity: str = ""


@dataclass(frozen=True)
class Budget:
    """When a study is over: it holds ``trials`` finished trials, or ``seconds`` have passed.

    Trials are counted over all workers and all earlier calls, completed, pruned and failed; the
    seconds are this worker's.
    """

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class TrialRecord:
    """What became of a trial.

    Args:
        number: from 0, without gaps.
        state: ``waiting`` is a trial that was begun and is to be gone on with.
        params: parameter name to value.
        values: one for each direction; empty unless the trial completed.
        seconds: from its beginning to its end, or to now.
        reports: what was reported, by epoch.
        notes: what was noted.
        error: why it failed; empty unless it did.
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
    """All trials of a study in order of their number."""

    name: str
    directions: tuple[Direction, ...]
    trials: tuple[TrialRecord, ...]

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial that is best by the first objective, or None."""
        return min(self._completed, key=lambda t: (self._costs(t)[0], t.number), default=None)

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The completed trials that no other surpasses in every objective, by their number."""
        done = self._completed
        return tuple(t for t in done if not any(self._surpasses(o, t) for o in done))

    @property
    def early_epoch(self) -> int | None:
        """The last epoch that all trials reached, where more were pruned than completed.

        After it every trial has a value, as good to compare as any; None elsewhere, and where a
        trial reported none.
        """
        ran = [trial for trial in self.trials if trial.state in ("complete", "pruned")]
        if len(ran) <= 2 * len(self._completed):
            return None
        return min(max(trial.reports, default=0) for trial in ran) or None

    @property
    def _completed(self) -> list[TrialRecord]:
        return [trial for trial in self.trials if trial.state == "complete"]

    def _costs(self, trial: TrialRecord) -> tuple[float, ...]:
        """Return the values of a trial, the less the better."""
        signs = (1 if direction == "minimize" else -1 for direction in self.directions)
        return tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))

    def _surpasses(self, one: TrialRecord, other: TrialRecord) -> bool:
        """Return whether ``one`` is nowhere worse than ``other``, and somewhere better."""
        ours, theirs = self._costs(one), self._costs(other)
        return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


class Tuner(Protocol):
    """What the target of a `TunerSpec` builds."""

    def optimize(self, objective: Objective, task: StudyTask, budget: Budget) -> StudyResult:
        """Run trials until the budget is spent, beside any number of other workers.

        Trials that nobody works on any more are gone on with first. Exactly ``budget.trials``
        trials finish over all workers, or fewer where the space holds no more.

        Args:
            objective: called once a trial. One that raises an `Exception` is recorded as failed,
                with the reason; on a KeyboardInterrupt the trial waits to be gone on with.
            task: what is searched.
            budget: counts what is stored already.

        Raises:
            latentkit.errors.UserError: the stored study is another, or the storage is of a kind
                that the tuner does not know.
            latentkit.errors.StorageError: the storage cannot be reached.
        """
        ...

    def load(self, task: StudyTask) -> StudyResult | None:
        """Return what is stored of a study, also while others work on it; None where nothing is.

        Raises:
            latentkit.errors.StorageError: the storage cannot be reached.
        """
        ...


@runtime_checkable
class HasImportances(Protocol):
    """A tuner that can say which parameters matter."""

    def importances(self, task: StudyTask, epoch: int | None = None) -> Mapping[str, float]:
        """Return the share of each parameter in the spread of the first objective; they sum to 1.

        Empty where there are too few trials to say.

        Args:
            task: as in `Tuner.optimize`.
            epoch: go by what completed and pruned trials reported after it, and not by the values
                of completed ones.
        """
        ...
