"""One trial of a study: a run, which is resumed if it was interrupted."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config
from latentkit.errors import LockedError, StorageError, UserError, describe_error
from latentkit.pipeline.context import CHECKPOINTS, HISTORY, OBJECTIVE, ImageShelf
from latentkit.pipeline.run import Place, resume_run, start_run
from latentkit.pipeline.stages import Stage
from latentkit.pipeline.stored import stored_config
from latentkit.pipeline.studies.measure import objective_stage
from latentkit.pipeline.work import training_plan
from latentkit.plugin.events import (
    EpochFinished,
    Event,
    Listener,
    Notice,
    RunStarted,
    StageSkipped,
    TrainingStarted,
    TrialFinished,
    TrialReported,
    TrialStarted,
    fan_out,
)
from latentkit.plugin.studies import StudyStopped, Trial, TrialPruned
from latentkit.registry.catalogue import Registry
from latentkit.runs.folder import EVENTS, RunFolder
from latentkit.runs.manifest import NAME
from latentkit.training.checkpoint import CheckpointStore
from latentkit.tuning.folder import StudyFolder, trial_name
from latentkit.tuning.goals import Goal

_MOST_STARTS = 20  # without a new epoch in between
_COMPARED = ("seed", "split", "model", "dataset", "corruption", "training")
_SECONDS_BETWEEN_TRIES = 1.0


class TrialRunner:
    """The objective function that a tuner calls.

    Args:
        study: provides the goals and the folder of runs.
        base: the configuration whose options each trial overrides.
        registry: finds parts by their names.
        shelf: cache of loaded images.
        tell: listener that receives the events of trials and of their runs.
    """

    def __init__(
        self,
        study: StudyFolder,
        base: RunConfig,
        registry: Registry,
        shelf: ImageShelf,
        tell: Listener,
    ) -> None:
        self._study = study
        self._goals = study.plan.goals
        self._base = base
        self._registry = registry
        self._shelf = shelf
        self._tell = tell
        self._failed_in_a_row = 0

    def __call__(self, trial: Trial) -> Sequence[float]:
        """Train and measure a model; return a value for each goal.

        Raises:
            TrialPruned: the tuner stopped the trial early.
            StudyStopped: too many trials in a row failed.
            StorageError: the disk is full, or the tuner's storage is lost. The trial can resume.
            Exception: the error that made the trial fail.
        """
        began = time.perf_counter()
        self._tell(TrialStarted(trial.number, dict(trial.params)))
        watch = _Watch(trial, self._goals, self._tell)

        def finished(state: str, values: Sequence[float] = (), error: str = "") -> None:
            seconds = time.perf_counter() - began
            of = max(watch.epoch, watch.epochs)
            trial.note("epochs", watch.epoch)
            trial.note("of_epochs", of)
            trial.note("machine", platform.node())
            self._tell(
                TrialFinished(trial.number, state, tuple(values), watch.epoch, of, seconds, error)
            )

        try:
            values = self._run(trial, watch)
        except TrialPruned:
            self._failed_in_a_row = 0
            finished("pruned")
            raise
        except StorageError:
            raise
        except Exception as error:
            reason = describe_error(error)
            finished("failed", error=reason)
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= self._study.plan.failures:
                raise StudyStopped(reason) from error
            raise
        self._failed_in_a_row = 0
        finished("complete", values)
        return values

    def _run(self, trial: Trial, watch: _Watch) -> list[float]:
        config = build_config(self._base.as_dict(), self._registry, overrides=trial.params)
        folder = self._in_turn(trial.number, config, fan_out(self._tell, watch))
        values: Mapping[str, float] = folder.json(OBJECTIVE)["values"]
        return [values[goal.name] for goal in self._goals]

    def _in_turn(self, number: int, config: RunConfig, tell: Listener) -> RunFolder:
        """Start or resume a trial's run; wait while another process works on it."""
        waits = False
        while True:
            try:
                return self._begin_or_go_on(number, config, tell)
            except LockedError as error:
                if not waits:
                    self._tell(Notice("locked", f"trial {number}: {error}", "info"))
            waits = True
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def _begin_or_go_on(self, number: int, config: RunConfig, tell: Listener) -> RunFolder:
        def stages(chosen: RunConfig) -> list[Stage]:
            return [*training_plan(chosen), objective_stage(self._goals)]

        data = Path(self._study.plan.data_dir)
        path = self._study.run_of(number)
        if not (path / NAME).is_file():
            place = Place(self._study.runs, data, trial_name(number), self._shelf)
            return start_run(config, self._registry, place, tell, stages)
        starts = _vain_starts(path)
        if starts >= _MOST_STARTS:
            raise RuntimeError(f"it was started {starts} times without completing a new epoch")
        _check_same(path, config, self._registry)
        return resume_run(path, self._registry, tell, data, stages, shelf=self._shelf)


class _Watch:
    """Reports a trial's value after each epoch to the tuner, starting with earlier processes'."""

    def __init__(self, trial: Trial, goals: Sequence[Goal], tell: Listener) -> None:
        self.epoch = 0
        self.epochs = 0
        self._warm_up_epochs = 0.0
        self._trial = trial
        # With several objectives no single value ranks unfinished trials, so none is pruned.
        self._goal = goals[0] if len(goals) == 1 and goals[0].term else None
        self._tell = tell
        self._path = Path()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._path = Path(event.path)
            case TrainingStarted():
                self.epochs = event.epochs
                self._warm_up_epochs = event.warm_up_steps / event.steps_per_epoch
                if event.first_epoch:
                    store = CheckpointStore(self._path / CHECKPOINTS)
                    self._report_again(store.history(event.first_epoch))
            case StageSkipped(stage="train"):
                records = RunFolder.open(self._path).json(HISTORY)["epochs"]
                self.epochs = len(records)
                self._report_again(records)
            case EpochFinished():
                self._report(event.epoch, event.validation)

    def _report_again(self, records: Iterable[Mapping[str, Any]]) -> None:
        for record in records:
            self._report(record["epoch"], record["validation"])

    def _report(self, epoch: int, validation: Mapping[str, float]) -> None:
        self.epoch = epoch
        if self._goal is None or self._goal.term not in validation:
            return
        if epoch < self._warm_up_epochs:  # its loss has another form until then
            return
        value = validation[self._goal.term]
        self._tell(TrialReported(self._trial.number, epoch, self.epochs, value))
        try:
            self._trial.report(epoch, value)
        except TrialPruned:
            if epoch < self.epochs:  # pruning after the last epoch saves no time
                raise


def _check_same(path: Path, asked: RunConfig, registry: Registry) -> None:
    """Refuse to resume a run with other options, which another study left behind.

    Raises:
        UserError: names a part that differs.
    """
    wanted, found = asked.identity(), stored_config(RunFolder.open(path), registry).identity()
    for option, value in wanted["training"].items():
        if value == "auto":
            wanted["training"][option] = found["training"][option]
    for part in _COMPARED:
        if wanted.get(part) != found.get(part):
            raise UserError(
                f"{path} holds a run of another study, whose options of {part} differ: move the "
                f"study's folder away, or choose another --name"
            )


def _vain_starts(path: Path) -> int:
    """Return how often a run was started since it last completed a new epoch."""
    starts, furthest = 0, 0
    for record in _events(path):
        if record["event"] == RunStarted.__name__:
            starts += 1
        elif record["event"] == EpochFinished.__name__ and record["epoch"] > furthest:
            starts, furthest = 0, record["epoch"]
    return starts


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a run's log, without lines that a kill cut short."""
    try:
        lines = (path / EVENTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue
