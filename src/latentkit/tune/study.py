"""A study: a tuner runs trials, in one process or several, until there are enough."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config, choose_part
from latentkit.errors import PluginError, StudyError
from latentkit.plugin.events import Listener
from latentkit.plugin.studies import Budget, StudyResult, StudyStopped, StudyTask, Tuner
from latentkit.registry.catalogue import Registry
from latentkit.registry.options import fault_of
from latentkit.runs.context import ImageCache
from latentkit.runs.prepare import prepare
from latentkit.tune.space import option_of
from latentkit.tune.study_folder import StudyFolder, StudyPlan
from latentkit.tune.trial import TrialKind, TrialRunner, check_goals


class Search:
    """A study with everything that it needs: images, tuner, storage.

    Args:
        study: the study's folder.
        registry: finds parts by their names.
        emit: listener that receives the events of trials.
        storage: URL of the database, including its password; None for the study's own.
        image_cache: cache of loaded images; None for a new one.
    """

    def __init__(
        self,
        study: StudyFolder,
        registry: Registry,
        emit: Listener,
        storage: str | None = None,
        image_cache: ImageCache | None = None,
    ) -> None:
        self.study = study
        self.registry = registry
        self.emit = emit
        self.storage = storage
        self.image_cache = image_cache or ImageCache()
        self.tuner = make_tuner(study.plan, registry)

    @property
    def task(self) -> StudyTask:
        """The task that the tuner receives."""
        return self.study.plan.task(self.study.path, self.storage)

    @cached_property
    def base(self) -> RunConfig:
        """The configuration whose options each trial overrides."""
        return build_config(self.study.plan.config, self.registry)

    def work(self, seconds: float | None = None, threads: int = 0) -> StudyResult:
        """Run trials in this process until the study is over.

        Args:
            seconds: time after which no trial starts; None for no limit.
            threads: threads of each trial, unless its configuration sets their number.

        Raises:
            StudyError: too many trials in a row failed.
            LatentkitError: the storage or the tuner fails.
        """
        base = self.base
        if threads and not base.run.threads:
            base = replace(base, run=base.run.model_copy(update={"threads": threads}))
        runner = TrialRunner(self.study, base, self.registry, self.image_cache, self.emit)
        budget = Budget(self.study.plan.trials, seconds)
        with self.fault():
            try:
                return self._checked(self.tuner.optimize(runner, self.task, budget))
            except StudyStopped as error:
                raise StudyError(
                    f"study {self.study.plan.name!r} is stopped because {self.study.plan.failures} "
                    f"trials in a row failed; the last one: {error}"
                ) from error

    def result(self) -> StudyResult:
        """Return the state of the study in its storage."""
        with self.fault():
            found = self.tuner.load(self.task)
        if found is None:
            return StudyResult(self.study.plan.name, self.task.directions, ())
        return self._checked(found)

    def _checked(self, result: Any) -> StudyResult:
        if not isinstance(result, StudyResult):
            raise PluginError(
                f"tuner {self.study.plan.tuner['name']!r} gave {type(result).__name__}, expected "
                f"StudyResult"
            )
        return result

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


def prepared(plan: StudyPlan, registry: Registry, image_cache: ImageCache) -> StudyPlan:
    """Check data, model, goals and tuner, so that a study fails before its folder is made.

    Returns:
        The plan. Its first trial has the options that a run without a study has. Its trials keep
        the weights of some epochs for the study's report.

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
    plan = replace(plan, first={key: option_of(resolved, key) for key in plan.space})
    if config.training.snapshots:
        return plan
    epochs = int(resolved.training.epochs)
    kept = sorted({1, (epochs + 1) // 2, epochs})
    training = {**plan.config["training"], "snapshots": kept}
    return replace(plan, config={**plan.config, "training": training})
