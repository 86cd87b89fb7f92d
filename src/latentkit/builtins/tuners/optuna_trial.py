"""A trial while it runs: what is reported of it, and whether it is given up.

A pruner leaves marks beside a trial while it judges. A worker that is killed between a mark and
what follows from it would, on going on, have the epoch judged as if it were over. So the verdict
is stored first, with its marks, and is stored once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from latentkit.builtins.tuners.optuna_storage import Storage
from latentkit.plugin import TrialPruned

ERROR, NOTE = "error", "note:"
_VERDICT = "verdict"


class OptunaTrial:
    """An Optuna trial as `latentkit.plugin.studies.Trial`.

    What is told of a trial that another worker was given meanwhile, and has ended, is dropped.

    Args:
        trial: Optuna's.
        params: as the objective is to see them.
        storage: waited for where it does not answer.
        judge: gives trials up; None where none is given up, and so none reports.

    Raises:
        StorageError: the storage does not answer for too long.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        params: Mapping[str, Any],
        storage: Storage,
        judge: Judge | None,
    ) -> None:
        self.number = trial.number
        self.params = params
        self._trial = trial
        self._storage = storage
        self._judge = judge
        known = storage.patiently(lambda: trial.storage.get_trial(trial._trial_id))
        self._reported = set(known.intermediate_values)
        self._survived = max(self._reported, default=1) - 1

    def report(self, epoch: int, value: float) -> None:
        """Tell the value after ``epoch``; raises `TrialPruned` where the pruner gives up."""
        judge = self._judge
        if judge is None or epoch <= self._survived:  # a later one was reported, before a break
            return
        with suppress(UpdateFinishedTrialError):
            if epoch not in self._reported:
                self._reported.add(epoch)
                self._storage.patiently(lambda: self._trial.report(value, epoch))
            if self._storage.patiently(lambda: judge.gives_up(self._trial._trial_id, epoch)):
                raise TrialPruned(f"given up after epoch {epoch}")

    def note(self, key: str, value: Any) -> None:
        """Store a fact beside the trial."""
        with suppress(UpdateFinishedTrialError):
            self._storage.patiently(lambda: self._trial.set_user_attr(f"{NOTE}{key}", value))


class Judge:
    """Asks a study's pruner once about each epoch of a trial.

    Args:
        study: of one objective, with a pruner.
        storage: the study's, as its trials see it.
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
        """Return whether a trial ends after ``epoch``, the last that it reported."""
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
    """A storage that keeps to itself what is to be marked beside a trial."""

    def __init__(self, storage: optuna.storages.BaseStorage) -> None:
        self._storage = storage
        self.kept: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.kept[key] = value
