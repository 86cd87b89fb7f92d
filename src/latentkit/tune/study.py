"""A study: a tuner runs trials, in one process or several, until there are enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config, choose_part
from latentkit.errors import IntegrityError, LatentkitError, PluginError, StudyError
from latentkit.plugin.database_urls import check_sqlite_files
from latentkit.plugin.events import Listener
from latentkit.plugin.studies import Budget, StudyResult, StudyStopped, StudyTask, Trial, Tuner
from latentkit.registry.catalogue import Registry
from latentkit.registry.options import fault_of
from latentkit.runs.context import ImageCache
from latentkit.runs.prepare import prepare
from latentkit.tune.space import option_of
from latentkit.tune.storage_url import check_allowed
from latentkit.tune.study_folder import DATABASE, SPLITS, StudyFolder, StudyPlan
from latentkit.tune.trial import TrialKind, TrialRunner, check_goals
from latentkit.tune.trial_record import commit_trials, verified

_SHARE_OF_TIME = 0.05  # that is spent on recording trials while others are run


class Search:
    """A study with everything that it needs: images, tuner, storage.

    Args:
        study: the study's folder.
        registry: finds parts by their names.
        emit: listener that receives the events of trials.
        storage: URL of the database that the user named, including its password; None for the one
            in the study's plan.
        image_cache: cache of loaded images; None for a new one.

    Raises:
        UserError: the plan names a database that the user has not named before.
    """

    def __init__(
        self,
        study: StudyFolder,
        registry: Registry,
        emit: Listener,
        storage: str | None = None,
        image_cache: ImageCache | None = None,
    ) -> None:
        if not storage and study.plan.storage:
            check_allowed(study.plan.name, study.plan.storage)
        self.study = study
        self.registry = registry
        self.emit = emit
        self.storage = storage or study.plan.storage or None
        self.image_cache = image_cache or ImageCache()
        self.tuner = make_tuner(study.plan, registry)
        self._next_record = 0.0

    @property
    def task(self) -> StudyTask:
        """The task that the tuner receives."""
        if not self.storage:
            check_sqlite_files(self.study.path / DATABASE)
        return self.study.plan.task(self.study.path, self.storage)

    @cached_property
    def base(self) -> RunConfig:
        """The configuration whose options each trial overrides."""
        return build_config(self.study.plan.config, self.registry)

    def work(
        self, seconds: float | None = None, threads: int = 0, *, records: bool = False
    ) -> StudyResult:
        """Run trials in this process until the study is over.

        Args:
            seconds: time after which no trial starts; None for no limit.
            threads: threads of each trial, unless its configuration sets their number.
            records: whether this process records finished trials in the study's folder.

        Raises:
            StudyError: too many trials in a row failed.
            DataError: the images are missing, or others than those that the study began with.
            LatentkitError: the storage or the tuner fails.
        """
        base = self.base
        known = self.stored()
        if known is None or self.trials_left(known):
            self.check_images()
        if threads and not base.run.threads:
            base = replace(base, run=base.run.model_copy(update={"threads": threads}))
        runner = TrialRunner(self.study, base, self.registry, self.image_cache, self.emit)
        budget = Budget(self.study.plan.trials, seconds)

        def objective(trial: Trial) -> Sequence[float]:
            if records:
                self.record(self.stored)
            return runner(trial)

        with self.fault():
            try:
                return self._checked(self.tuner.optimize(objective, self.task, budget))
            except StudyStopped as error:
                raise StudyError(
                    f"study {self.study.plan.name!r} is stopped because {self.study.plan.failures} "
                    f"trials in a row failed; the last one: {error}"
                ) from error

    def trials_left(self, result: StudyResult) -> int:
        """Return how many trials are still to be finished, 0 or more."""
        return max(0, self.study.plan.trials - sum(trial.finished for trial in result.trials))

    def check_images(self) -> None:
        """Load the images, unless they are cached, and refuse others than the study began with.

        Raises:
            DataError: they are missing, damaged, or others.
        """
        part, data_dir = self.base.dataset, Path(self.study.plan.data_dir)
        # Nothing is downloaded, because the study may come from a stranger.
        with part.offline():
            loaded = {s: self.image_cache.take(part, s, data_dir) for s in SPLITS}
        found = {str(split): images.digest() for split, images in loaded.items()}
        self.study.check_images(found)

    def result(self) -> StudyResult:
        """Return the state of the study in its storage.

        Raises:
            StorageError: the storage cannot be reached.
            IntegrityError: a trial differs from the one that was recorded.
        """
        with self.fault():
            found = self.tuner.load(self.task)
        if found is None:
            found = StudyResult(self.study.plan.name, self.study.plan.directions, ())
        return self._checked(found)

    def stored(self) -> StudyResult | None:
        """Return the state of the study; None if the storage does not answer right now."""
        try:
            return self.result()
        except IntegrityError:
            raise
        except LatentkitError:
            return None

    def record(self, result: Callable[[], StudyResult | None], *, now: bool = False) -> None:
        """Record the finished trials in the study's folder.

        This takes longer the more trials there are, so it is skipped if it was done recently.

        Args:
            result: returns the state of the study.
            now: whether to record them in any case.

        Raises:
            StorageError: the folder was deleted, or cannot be written.
        """
        began = time.monotonic()
        if began < self._next_record and not now:
            return
        with suppress(IntegrityError):  # raised again when the study ends
            found = result()
            if found is not None:
                commit_trials(self.study, found)
        ended = time.monotonic()
        self._next_record = ended + (ended - began) / _SHARE_OF_TIME

    def _checked(self, result: Any) -> StudyResult:
        if not isinstance(result, StudyResult):
            raise PluginError(
                f"tuner {self.study.plan.tuner['name']!r} gave {type(result).__name__}, expected "
                f"StudyResult"
            )
        return verified(self.study, result)

    def fault(self) -> AbstractContextManager[None]:
        """Report errors that the tuner raises in the block as the tuner's."""
        return fault_of(f"tuner {self.study.plan.tuner['name']!r} failed")


def make_tuner(plan: StudyPlan, registry: Registry) -> Tuner:
    """Build the tuner of a study.

    Raises:
        UserError: its name or an option is unknown.
    """
    part = choose_part(registry, "tuner", plan.tuner)
    tuner: Tuner = part.build()
    return tuner


def _with_files(plan: StudyPlan, resolved: RunConfig) -> dict[str, Any]:
    """Return the study's model with the path and the SHA-256 of each file that its options name.

    The trials, which may be continued elsewhere, use no other file.
    """
    known = resolved.model.as_dict()
    ending = "_sha256"
    files = {name.removesuffix(ending) for name in known if name.endswith(ending)}
    kept = {name for file in files for name in (file, file + ending)}
    return {**plan.config["model"], **{name: known[name] for name in kept if name in known}}


def prepared(plan: StudyPlan, registry: Registry, image_cache: ImageCache) -> StudyPlan:
    """Check data, model, goals and tuner, so that a study fails before its folder is made.

    Returns:
        The plan. It has digests and notes of the images, its first trial has the options that a
        run without a study has, and its trials keep the weights of some epochs for the study's
        report.

    Raises:
        LatentkitError: something is missing, damaged, or does not fit.
    """
    make_tuner(plan, registry)
    config = build_config(plan.config, registry)
    context = prepare(
        config, registry, Path(plan.data_dir), TrialKind(plan.goals), image_cache=image_cache
    )
    resolved = context.config
    check_goals(plan.goals, context)
    images = {split: context.images(split) for split in SPLITS}
    plan = replace(
        plan,
        first={key: option_of(resolved, key) for key in plan.space},
        images={split: images[split].digest() for split in SPLITS},
        notes=tuple(dict.fromkeys(note for split in SPLITS for note in images[split].notes)),
        config={**plan.config, "model": _with_files(plan, resolved)},
    )
    if config.training.snapshots:
        return plan
    epochs = int(resolved.training.epochs)
    kept = sorted({1, (epochs + 1) // 2, epochs})
    training = {**plan.config["training"], "snapshots": kept}
    return replace(plan, config={**plan.config, "training": training})
