"""Reading of a stored study and its trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as State

from latentkit.builtins.tuners.optuna_search import read_params
from latentkit.builtins.tuners.optuna_storage import Storage
from latentkit.builtins.tuners.optuna_trial import ERROR, NOTE
from latentkit.plugin import StudyResult, StudyTask, TrialRecord
from latentkit.plugin.studies import TrialState

_STATES: dict[State, TrialState] = {
    State.COMPLETE: "complete",
    State.PRUNED: "pruned",
    State.FAIL: "failed",
    State.RUNNING: "running",
    State.WAITING: "waiting",
}


@contextmanager
def stored_study(task: StudyTask) -> Iterator[optuna.Study | None]:
    """Yield the stored study, or None if it does not exist.

    Raises:
        StorageError: the storage cannot be reached.
    """
    if not Storage.exists(task.storage):
        yield None
        return
    storage = Storage(task.storage, patience=0.0)
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
        values=tuple(trial.values) if trial.state is State.COMPLETE else (),
        seconds=seconds,
        reports=dict(trial.intermediate_values),
        notes={
            key.removeprefix(NOTE): value
            for key, value in attributes.items()
            if key.startswith(NOTE)
        },
        error=attributes.get(ERROR, ""),
    )
