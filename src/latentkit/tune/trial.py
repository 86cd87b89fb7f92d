"""One trial of a study: a run that is measured on the validation images.

A study does not use the test images, because they measure the model that it ends with.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit import errors, reading
from latentkit.config import RunConfig, build_config
from latentkit.evaluation import representation
from latentkit.evaluation.disentanglement import Disentanglement, measure_disentanglement
from latentkit.evaluation.inference import encode, reconstruction
from latentkit.evaluation.likelihood import LikelihoodCard, likelihood_card
from latentkit.evaluation.reconstruction import Fidelity, fidelity
from latentkit.plugin import events
from latentkit.plugin.protocols import Generative, HasDecoder, provides
from latentkit.plugin.seeds import stream_seed
from latentkit.plugin.studies import BLAMELESS, StudyStopped, Trial, TrialPruned
from latentkit.registry.catalogue import Registry
from latentkit.runs import run_files
from latentkit.runs.autoencoder_kind import AutoencoderKind
from latentkit.runs.context import ImageCache, RunContext, StageContext
from latentkit.runs.folder import EVENTS, RunFolder
from latentkit.runs.kind import MapImages
from latentkit.runs.lifecycle import Place, resume_run, start_run
from latentkit.runs.manifest import NAME
from latentkit.runs.saved_config import stored_config, with_choices_of
from latentkit.runs.stages import Stage
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.device import device_at_hand, device_text
from latentkit.training.loop import TrainingJob
from latentkit.tune.goals import Goal
from latentkit.tune.space import option_of
from latentkit.tune.study_folder import StudyFolder, trial_name, trial_of

_STAGE = "objective"


def objective_stage(goals: Sequence[Goal]) -> Stage:
    """Return the stage that measures a trial's model and commits the value of each goal."""

    def measure(context: StageContext) -> None:
        history = context.folder.json(run_files.HISTORY)
        epochs = history["epochs"]
        terms = epochs[history["weights_epoch"] - 1]["validation"] if epochs else {}
        figures = _Figures(context)
        values = {goal.name: _value(goal, terms, figures) for goal in goals}
        context.folder.commit_json(
            run_files.OBJECTIVE, _STAGE, {"split": "validation", "values": values}
        )

    names = ",".join(goal.name for goal in goals)
    return Stage(
        _STAGE, measure, reads=(run_files.DATA, run_files.MODEL, run_files.HISTORY), settings=names
    )


def check_goals(goals: Sequence[Goal], context: RunContext) -> None:
    """Refuse goals that the data or the model cannot provide.

    Raises:
        UserError: names the goal and what is missing; or trials have no epochs.
    """
    if context.config.training.epochs == 0 and any(one.name not in _MEASURES for one in goals):
        raise errors.UserError(
            "a study compares trained models: set --epochs to 1 or more, or choose what can be "
            "measured without training, such as --objective knn"
        )
    images, model = context.images("train"), context.new_model()
    has = {
        "": True,
        "labels": images.labels is not None,
        "factors": images.factors is not None,
        "generative": provides(model, Generative),
        "decoder": provides(model, HasDecoder),
    }
    for goal in goals:
        if not has[goal.needs]:
            whose = "model" if goal.needs in ("generative", "decoder") else "data set"
            part = context.config.model if whose == "model" else context.config.dataset
            what = {"generative": "is not generative"}.get(goal.needs, f"has no {goal.needs}")
            other = "mse" if has["decoder"] else "loss"
            raise errors.UserError(
                f"objective {goal.name!r} cannot be measured: {whose} {part.name!r} {what}; choose "
                f"another, such as --objective {other}"
            )


def _value(goal: Goal, terms: Mapping[str, float], figures: _Figures) -> float:
    if goal.term and goal.term in terms:
        return float(terms[goal.term])
    if goal.name not in _MEASURES:
        raise errors.UserError(
            f"objective {goal.name!r} is not a term of the model's loss, which has "
            f"{', '.join(terms)}"
        )
    return float(_MEASURES[goal.name](figures))


class _Figures:
    """Measurements for the goals, each made on first use, in eval mode and float32."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._validation = context.device_images("validation")

    @cached_property
    def fidelity(self) -> Fidelity:
        """Fidelity of reconstructions, from corrupted input if the run has a corruption."""
        context = self._context
        noise = context.evaluation_noise() if context.corruption else None
        return fidelity(self._validation, reconstruction(context.model), noise)

    @cached_property
    def likelihood(self) -> LikelihoodCard:
        return likelihood_card(self._context.model, self._validation, self._seed("likelihood"))

    @cached_property
    def disentanglement(self) -> Disentanglement:
        factors, split = self._context.images("train").factors, self._context.split
        assert factors is not None  # noqa: S101  # ensured by `check_goals`
        train, validation = self.latents
        seed = self._seed("disentanglement")
        return measure_disentanglement(
            train, factors[split.train], validation, factors[split.validation], seed
        )

    @cached_property
    def clusters(self) -> NDArray[np.float64]:
        """Number of validation images by cluster and class, (clusters, classes)."""
        train, validation = self.latents
        _, truth = self.labels
        classes = len(np.unique(truth))
        found = representation.k_means(train, validation, classes, self._seed("k-means"))
        shape = (int(found.max()) + 1, int(truth.max()) + 1)
        counts: NDArray[np.float64] = representation.indicators(found, truth).sum(0).reshape(shape)
        return counts

    @cached_property
    def latents(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latents of the training and of the validation images."""
        model = self._context.model
        return encode(model, self._context.device_images("train")), encode(model, self._validation)

    @cached_property
    def labels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        labels, split = self._context.images("train").labels, self._context.split
        assert labels is not None  # noqa: S101  # ensured by `check_goals`
        return labels[split.train], labels[split.validation]

    def accuracy(self, probe: Callable[..., NDArray[np.int64]]) -> float:
        train, validation = self.latents
        labels, truth = self.labels
        return float((probe(train, labels, validation) == truth).mean())

    def _seed(self, name: str) -> int:
        return stream_seed(self._context.seed, "objective", name)


_MEASURES: dict[str, Callable[[_Figures], Any]] = {
    "mse": lambda figures: figures.fidelity.mse.mean(),
    "psnr": lambda figures: figures.fidelity.psnr.mean(),
    "ssim": lambda figures: figures.fidelity.ssim.mean(),
    "knn": lambda figures: figures.accuracy(representation.knn_probe),
    "linear": lambda figures: figures.accuracy(representation.linear_probe),
    "kmeans": lambda figures: representation.matched_accuracy(figures.clusters),
    "nmi": lambda figures: representation.normalised_mutual_information(figures.clusters),
    "ari": lambda figures: representation.adjusted_rand_index(figures.clusters),
    "elbo": lambda figures: figures.likelihood.elbo.mean(),
    "importance-weighted": lambda figures: figures.likelihood.importance_weighted.mean(),
    "kl": lambda figures: figures.likelihood.kl.mean(),
    "active-dimensions": lambda figures: figures.likelihood.active.sum(),
    "mig": lambda figures: figures.disentanglement.mig,
    "disentanglement": lambda figures: figures.disentanglement.disentanglement,
    "completeness": lambda figures: figures.disentanglement.completeness,
    "informativeness": lambda figures: figures.disentanglement.informativeness.mean(),
    "sap": lambda figures: figures.disentanglement.sap,
}


class TrialKind(AutoencoderKind):
    """A run that is a trial of a study.

    Args:
        goals: measure these after training, and stop there; without goals, the trial is completed
            as an autoencoder's run, with latents, card and report.
    """

    name = "trial"

    def __init__(self, goals: Sequence[Goal] = ()) -> None:
        self._goals = goals

    def stage_names(self, config: RunConfig) -> tuple[str, ...]:
        """Return the stages up to training and the objective; without goals, all stages."""
        names = super().stage_names(config)
        if not self._goals:
            return names
        return (*names[: names.index("train") + 1], _STAGE)

    def plan(self, config: RunConfig, *, svg: bool = False) -> list[Stage]:
        """Return the stages up to training and the objective; without goals, all stages."""
        stages = super().plan(config, svg=svg)
        if not self._goals:
            return stages
        names = self.stage_names(config)
        return [*(one for one in stages if one.name in names), objective_stage(self._goals)]

    def check_maps(self, config: RunConfig, images: MapImages) -> None:
        """Check the maps, except whether they suit latents that the tuner chose.

        Trials make no maps. The best one is completed without those that cannot be made.
        """
        super().check_maps(config, replace(images, latent_dim=0))

    def trial_training(self, context: RunContext, most: int) -> tuple[TrainingJob, int] | None:
        """Return None: trials follow each other, and each would say nearly the same."""
        return None

    def check_more_epochs(self, config: RunConfig, run: str) -> None:
        """Refuse more epochs, because the study has compared its trials at the epochs they have.

        Raises:
            UserError: always.
        """
        raise errors.UserError(
            f"run {run} is a trial of a study, which compared it at {config.training.epochs} "
            f"epochs: start another run with its config.toml and more epochs"
        )

    def trial(self, folder: RunFolder, config: RunConfig) -> events.TrialInfo | None:
        """Return the number and options of the trial, and its study."""
        return trial_of(folder.path, partial(option_of, config))


_MOST_EVENTS = 32 * 2**20  # bytes at the end of a run's log
_MOST_STARTS = 20  # without a new epoch in between
_COMPARED = ("seed", "split", "model", "dataset", "corruption", "training")
_SECONDS_BETWEEN_TRIES = 1.0


class TrialRunner:
    """The objective function that a tuner calls.

    Args:
        study: provides the goals and the folder of runs.
        base: the configuration whose options each trial overrides.
        registry: finds parts by their names.
        image_cache: cache of loaded images.
        emit: listener that receives the events of trials and of their runs.
    """

    def __init__(
        self,
        study: StudyFolder,
        base: RunConfig,
        registry: Registry,
        image_cache: ImageCache,
        emit: events.Listener,
    ) -> None:
        self._study = study
        self._goals = study.plan.goals
        self._base = base
        self._registry = registry
        self._image_cache = image_cache
        self._emit = emit
        self._failed_in_a_row = 0

    def __call__(self, trial: Trial) -> Sequence[float]:
        """Train and measure a model; return a value for each goal.

        Raises:
            TrialPruned: the tuner stopped the trial early.
            StudyStopped: too many trials in a row failed.
            StorageError: the disk is full, or the tuner's storage is lost. The trial can resume.
            DataError: the images are missing or damaged. The trial can resume.
            BrokenEnvironmentError: a device or package is missing. The trial can resume.
            Exception: the error that made the trial fail.
        """
        began = time.perf_counter()
        self._emit(events.TrialStarted(trial.number, dict(trial.params)))
        watch = _Watch(trial, self._goals, self._emit)

        def finished(state: str, values: Sequence[float] = (), error: str = "") -> None:
            seconds = time.perf_counter() - began
            of = max(watch.epoch, watch.epochs)
            trial.note("epochs", watch.epoch)
            trial.note("of_epochs", of)
            trial.note("machine", platform.node())
            trial.note("device", device_text(device_at_hand(self._base.run.device)))
            self._emit(
                events.TrialFinished(
                    trial.number, state, tuple(values), watch.epoch, of, seconds, error
                )
            )

        try:
            values = self._run(trial, watch)
        except TrialPruned:
            self._failed_in_a_row = 0
            finished("pruned")
            raise
        except BLAMELESS:
            raise
        except Exception as error:
            reason = errors.describe_error(error)
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
        folder = self._in_turn(trial.number, config, events.fan_out(self._emit, watch))
        values: Mapping[str, float] = folder.json(run_files.OBJECTIVE)["values"]
        return [values[goal.name] for goal in self._goals]

    def _in_turn(self, number: int, config: RunConfig, emit: events.Listener) -> RunFolder:
        """Start or resume a trial's run; wait while another process works on it."""
        waits = False
        while True:
            try:
                return self._begin_or_go_on(number, config, emit)
            except errors.LockedError as error:
                if not waits:
                    self._emit(events.Notice("locked", f"trial {number}: {error}", "info"))
            waits = True
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def _begin_or_go_on(self, number: int, config: RunConfig, emit: events.Listener) -> RunFolder:
        # The images are here since the study began; a stranger's study must not fetch any.
        part = config.dataset
        with part.offline():
            return self._begun_or_resumed(number, config, emit)

    def _begun_or_resumed(self, number: int, config: RunConfig, emit: events.Listener) -> RunFolder:
        kind = TrialKind(self._goals)
        data = Path(self._study.plan.data_dir)
        self._study.check_present()
        path = self._study.run_of(number)
        if not (path / NAME).is_file():
            place = Place(self._study.runs, data, trial_name(number), self._image_cache)
            # If another process creates the run at the same moment, this one resumes it.
            with suppress(errors.RunExistsError):
                return start_run(config, self._registry, place, emit, kind)
        starts = _vain_starts(path)
        if starts >= _MOST_STARTS:
            raise RuntimeError(f"it was started {starts} times without completing a new epoch")
        _check_same(path, config, self._registry)
        return resume_run(path, self._registry, emit, kind, data, image_cache=self._image_cache)


class _Watch:
    """Reports a trial's value after each epoch to the tuner, starting with earlier processes'."""

    def __init__(self, trial: Trial, goals: Sequence[Goal], emit: events.Listener) -> None:
        self.epoch = 0
        self.epochs = 0
        self._warm_up_epochs = 0.0
        self._trial = trial
        # With several objectives no single value ranks unfinished trials, so none is pruned.
        self._goal = goals[0] if len(goals) == 1 and goals[0].term else None
        self._emit = emit
        self._path = Path()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self._path = Path(event.path)
            case events.TrainingStarted():
                self.epochs = event.epochs
                self._warm_up_epochs = event.warm_up_steps / event.steps_per_epoch
                if event.first_epoch:
                    store = CheckpointStore(self._path / run_files.CHECKPOINTS)
                    self._report_again(store.history(event.first_epoch))
            case events.StageSkipped(stage="train"):
                records = RunFolder.open(self._path).json(run_files.HISTORY)["epochs"]
                self.epochs = len(records)
                self._report_again(records)
            case events.EpochFinished():
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
        self._emit(events.TrialReported(self._trial.number, epoch, self.epochs, value))
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
    stored = stored_config(RunFolder.open(path), registry)
    wanted, found = with_choices_of(asked, stored), stored.identity()
    for option, value in wanted["training"].items():
        if value == "auto":
            wanted["training"][option] = found["training"][option]
    for part in _COMPARED:
        if wanted.get(part) != found.get(part):
            raise errors.UserError(
                f"{path} holds a run of another study, whose options of {part} differ: move the "
                f"study's folder away, or choose another --name"
            )


def _vain_starts(path: Path) -> int:
    """Return how often a run was started since it last completed a new epoch."""
    starts, furthest = 0, 0
    for record in _events(path):
        epoch = record.get("epoch")
        if record.get("event") == events.RunStarted.__name__:
            starts += 1
        ended = record.get("event") == events.EpochFinished.__name__
        if ended and isinstance(epoch, int) and epoch > furthest:
            starts, furthest = 0, epoch
    return starts


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records at the end of a run's log, without lines that a kill cut short."""
    try:
        with reading.open_file(path / EVENTS, follow=False) as file:
            file.seek(-min(_MOST_EVENTS, file.seek(0, os.SEEK_END)), os.SEEK_END)
            lines = file.read(_MOST_EVENTS).splitlines()
    except OSError:
        return
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
