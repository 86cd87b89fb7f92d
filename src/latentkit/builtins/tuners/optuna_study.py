"""A study in Optuna's storage: its trials, their reports, and decisions to stop them early.

A pruner writes marks to a trial while it decides. If a worker is killed after a mark and before the
trial is stopped, the resumed trial would look as if it had passed this epoch. So the decision is
stored first, together with its marks, and is stored only once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as State

from latentkit.builtins.tuners.optuna_search import read_params
from latentkit.builtins.tuners.optuna_storage import NothingStored, Storage
from latentkit.plugin import StudyResult, StudyTask, TrialPruned, TrialRecord, TrialState

ERROR, NOTE = "error", "note:"
_VERDICT = "verdict"


class OptunaTrial:
    """An Optuna trial as `latentkit.plugin.studies.Trial`.

    If another worker was given the trial meanwhile and has finished it, reports and notes are
    dropped.

    Args:
        trial: Optuna's trial.
        params: the parameters as the objective sees them.
        storage: the study's storage; calls wait while it does not answer.
        stop_rule: decides whether the trial is stopped early; None if no trial is, so that reports
            are ignored.

    Raises:
        StorageError: the storage did not answer for too long.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        params: Mapping[str, Any],
        storage: Storage,
        stop_rule: StopRule | None,
    ) -> None:
        self.number = trial.number
        self.params = params
        self._trial = trial
        self._storage = storage
        self._stop_rule = stop_rule
        known = storage.patiently(lambda: trial.storage.get_trial(trial._trial_id))
        self._reported = set(known.intermediate_values)
        # The worker may have been killed before the decision on the last reported epoch.
        self._survived = max(self._reported, default=1) - 1

    def report(self, epoch: int, value: float) -> None:
        """Report the value after ``epoch``.

        Raises:
            TrialPruned: the pruner stops the trial.
            StorageError: the storage did not answer for too long.
        """
        stop_rule = self._stop_rule
        if stop_rule is None or epoch <= self._survived:  # decided before the trial was resumed
            return
        with suppress(UpdateFinishedTrialError):
            if epoch not in self._reported:
                self._reported.add(epoch)
                self._storage.patiently(lambda: self._trial.report(value, epoch))
            if self._storage.patiently(lambda: stop_rule.gives_up(self._trial._trial_id, epoch)):
                raise TrialPruned(f"pruned after epoch {epoch}")

    def note(self, key: str, value: Any) -> None:
        """Store a value with the trial."""
        with suppress(UpdateFinishedTrialError):
            self._storage.patiently(lambda: self._trial.set_user_attr(f"{NOTE}{key}", value))


class StopRule:
    """The decisions of a study's pruner, which is asked once about each epoch of a trial.

    Args:
        study: study with one objective and a pruner.
        storage: the study's storage, as its trials see it.
    """

    def __init__(self, study: optuna.Study, storage: optuna.storages.BaseStorage) -> None:
        self._storage = storage
        self._marks = _Marks(storage)
        self._study = optuna.load_study(
            study_name=study.study_name,
            storage=self._marks,  # type: ignore[arg-type]
            pruner=study.pruner,
        )

    def gives_up(self, trial_id: int, epoch: int) -> bool:
        """Return whether a trial is stopped after ``epoch``, the last epoch that it reported."""
        trial = self._storage.get_trial(trial_id)
        verdict = trial.user_attrs.get(_VERDICT)
        if verdict is None or verdict["epoch"] != epoch:
            self._marks.kept = {}
            pruned = self._study.pruner.prune(self._study, trial)
            verdict = {"epoch": epoch, "pruned": bool(pruned), "marks": self._marks.kept}
            if pruned or self._marks.kept:
                self._storage.set_trial_user_attr(trial_id, _VERDICT, verdict)
        for key, value in verdict["marks"].items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        return bool(verdict["pruned"])


class _Marks:
    """A view of a storage that collects the pruner's marks instead of writing them."""

    def __init__(self, storage: optuna.storages.BaseStorage) -> None:
        self._storage = storage
        self.kept: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.kept[key] = value


_STATES: dict[State, TrialState] = {
    State.COMPLETE: "complete",
    State.PRUNED: "pruned",
    State.FAIL: "failed",
    State.RUNNING: "running",
    State.WAITING: "waiting",
}


@contextmanager
def stored_study(task: StudyTask) -> Iterator[optuna.Study | None]:
    """Yield the stored study, or None if it does not exist. Nothing is written to the storage.

    Raises:
        StorageError: the storage cannot be reached.
    """
    if not Storage.exists(task.storage):
        yield None
        return
    try:
        storage = Storage(task.storage, patience=0.0, reading=True)
    except NothingStored:
        yield None
        return
    try:
        with storage.answering():
            yield _opened(task.name, storage)
    finally:
        storage.close()


def _opened(name: str, storage: Storage) -> optuna.Study | None:
    try:
        return optuna.load_study(study_name=name, storage=storage.engine)
    except KeyError:
        return None


def result_of(study: optuna.Study, task: StudyTask) -> StudyResult:
    """Return the records of a study's trials."""
    trials = study.get_trials(deepcopy=False)
    while trials and trials[-1].state is State.WAITING and not trials[-1].params:
        trials.pop()  # surplus: more workers asked at the same moment than trials were left
    return StudyResult(task.name, task.directions, tuple(_record(t, task) for t in trials))


def _record(trial: FrozenTrial, task: StudyTask) -> TrialRecord:
    attributes = trial.user_attrs
    since, until = trial.datetime_start, trial.datetime_complete
    if since is None:
        seconds = 0.0
    else:
        now = until or type(since).now()
        seconds = max(0.0, (now - since).total_seconds())
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        params=read_params(trial.params, task.space),
        values=tuple(trial.values or ()) if trial.state is State.COMPLETE else (),
        seconds=seconds,
        reports=dict(trial.intermediate_values),
        notes={
            key.removeprefix(NOTE): value
            for key, value in attributes.items()
            if key.startswith(NOTE)
        },
        error=str(attributes.get(ERROR, "")),
    )
