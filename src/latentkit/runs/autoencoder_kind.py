"""Runs that train an autoencoder: their stages, from images to report."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from latentkit.atomic import json_bytes, write_bytes
from latentkit.config import RunConfig, canonical_sha256
from latentkit.data.batches import DeviceImages, augmentation_of, spread_rows
from latentkit.data.duplicates import rows_in_training
from latentkit.errors import DataError, UserError, describe_error, unexpected_content
from latentkit.evaluation.card import PROTOCOL, evaluate, follow_card
from latentkit.evaluation.card_tables import card_rows, card_summary, card_tables, map_tables
from latentkit.evaluation.encoding import encode_images, follow_encoding
from latentkit.evaluation.measuring import card_bytes
from latentkit.maps.make import (
    check_maps,
    embed,
    embed_again,
    latents_read,
    most_bytes,
    reads_of_same_run,
)
from latentkit.maps.stability import follow_refits
from latentkit.plugin.events import Notice, StageProgress, ignore
from latentkit.plugin.images import ImageData
from latentkit.plugin.protocols import HasLoss, provides
from latentkit.report.page import Table
from latentkit.runs import run_files
from latentkit.runs.context import RunContext, StageContext, load_weights
from latentkit.runs.folder import RunFolder
from latentkit.runs.initial_weights import INITIAL, START, check_start, start_network
from latentkit.runs.kind import Facts, MapImages, Row, RunKind, SharedWork, explorer_stage
from latentkit.runs.manifest import training_settings
from latentkit.runs.prepare import choices_made, suited_learning_rate, with_counts
from latentkit.runs.shared_run import record_processes
from latentkit.runs.stages import Stage
from latentkit.runs.summary import map_facts, summarise, summary_rows
from latentkit.terminal import shell_command
from latentkit.training.checkpoint import CheckpointStore, save_tensors
from latentkit.training.loop import TrainingJob, steps_per_epoch, train
from latentkit.training.processes import Processes, current
from latentkit.training.state import Weights


def record_images(context: StageContext) -> None:
    """Commit the shape, counts, classes, licence, checksums, notes and duplicates of the images.

    Raises:
        DataError: the record was lost, and the images have changed since it was made.
    """
    train_images = context.unchecked_images("train")
    test_images = context.unchecked_images("test")
    split = context.divided(train_images)
    known = context.folder.manifest.artefacts.get(run_files.DATA)
    record = {
        "dataset": context.config.dataset.name,
        "image_shape": list(train_images.image_shape),
        "counts": {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(test_images),
        },
        "class_names": list(train_images.class_names),
        "labelled": train_images.labels is not None,
        "licence": train_images.licence,
        "source_sha256": {"train": train_images.checksum, "test": test_images.checksum},
        "digest": {"train": train_images.digest(), "test": test_images.digest()},
    }
    # Without what follows, the record is the one that earlier versions wrote.
    if notes := tuple(dict.fromkeys((*train_images.notes, *test_images.notes))):
        record["notes"] = notes
    for note in notes:
        context.emit(Notice("images", note, "info"))
    earlier = [json_bytes(record)]
    if train_images.images.dtype == np.uint16:
        record["bits"] = 16
    if train_images.value_range is not None:
        record["value_range"] = list(train_images.value_range)
    earlier.append(json_bytes(record))
    shas = {hashlib.sha256(one).hexdigest(): one for one in earlier}
    written = shas.get(known.sha256) if known else None
    if written is None:  # earlier versions wrote less
        written = json_bytes(record | _duplicates(context, train_images, test_images))
    if known is not None and known.sha256 != hashlib.sha256(written).hexdigest():
        raise DataError(
            f"{context.folder.path / run_files.DATA} was lost, and the images of "
            f"{context.config.dataset.name!r} are not those that the run started with: restore "
            f"the file or the images, or start a new run"
        )
    context.folder.commit(run_files.DATA, "data", lambda path: write_bytes(path, written))


def _duplicates(
    context: StageContext, train_images: ImageData, test_images: ImageData
) -> dict[str, Any]:
    """Return the record of test images that are also training images, and say how many there are.

    It is empty if there are none.
    """
    total = len(train_images)

    def progress(done: int) -> None:
        if total >= _MANY:
            context.emit(StageProgress("data", done, total, "looking for duplicates"))

    equal, near, complete = rows_in_training(train_images, test_images, progress)
    count = len(equal) + len(near)
    if not count:
        return {}
    name = context.config.dataset.name
    text = (
        f"{'' if complete else 'at least '}{count:,} of {len(test_images):,} test images of {name} "
        f"are also among its training or validation images ({len(equal):,} equal, {len(near):,} "
        f"nearly): the evaluation card has "
        f"its main figures without them, too, and 'latentkit data check' shows them"
    )
    much = count >= _MUCH * len(test_images)
    context.emit(Notice("duplicates", text, "warning" if much else "info"))
    return {"duplicates": {"equal": equal.tolist(), "near": near.tolist()}}


_MANY = 100_000  # images, whose search takes long enough to be shown
_MUCH = 0.01


def write_explorer(context: StageContext) -> None:
    """Write the page on which one explores the run's latents."""
    from latentkit.explore.explored_run import ExploredRun
    from latentkit.explore.explorer_page import write_page
    from latentkit.explore.page_spaces import TrainedSource

    write_page(TrainedSource(ExploredRun(context, context.model)))


class AutoencoderKind(RunKind):
    """A run that trains an autoencoder, maps its latents and measures both."""

    name = "autoencoder"
    protocol = PROTOCOL

    def label(self, config: RunConfig) -> str:
        """Return the names of model and data set."""
        return f"{config.model.slug}-{config.dataset.slug}"

    def prepare(self, context: RunContext, model: Any) -> RunConfig:
        """Check maps, warm-up and initial weights, and resolve ``auto`` training options.

        Raises:
            UserError: a map cannot be made, the model cannot be trained, warm-up is longer than
                training, or the initial weights do not fit.
        """
        images = MapImages.of_context(context, int(model.latent_dim))
        self.check_maps(context.config, images)
        context.config = _without_training(context, model)
        counts = len(context.split.train), suited_learning_rate(context.config, model)
        context.config = with_counts(context.config, *counts, context.image_shape)
        _check_warm_up(context, model)
        _check_single_images(context)
        if context.config.init is not None:
            check_start(context)
        return context.config

    def stage_names(self, config: RunConfig) -> tuple[str, ...]:
        """Return data, train, encode, a stage for each map, evaluate, explorer and report."""
        maps = (f"embed:{part.slug}" for part in config.embeddings)
        start = (START,) if config.init else ()
        return ("data", *start, "train", "encode", *maps, "evaluate", "explorer", "report")

    def plan(self, config: RunConfig, *, svg: bool = False) -> list[Stage]:
        """Return the stages from images to report."""
        embeds = [
            Stage(
                f"embed:{part.slug}",
                partial(embed, part=part),
                reads=(run_files.DATA, *latents_read(part.map), *reads_of_same_run(part)),
                settings=canonical_sha256(part.as_dict()),
                optional=f"map {part.label}",
                again=embed_again(part),
            )
            for part in config.embeddings
        ]
        maps = [path for part in config.embeddings for path in run_files.map_paths(part)]
        latents = [run_files.latents_path(split) for split in run_files.SPLITS]
        return [
            Stage("data", record_images, same=True),
            *([Stage(START, start_network, reads=(run_files.DATA,))] if config.init else []),
            Stage(
                "train",
                _train,
                reads=(run_files.DATA, INITIAL) if config.init else (run_files.DATA,),
                settings=training_settings(config.training.epochs),
                keeps=run_files.SNAPSHOTS,
            ),
            Stage("encode", encode_images, reads=(run_files.DATA, run_files.MODEL)),
            *embeds,
            Stage(
                "evaluate",
                evaluate,
                reads=(run_files.DATA, run_files.MODEL, *latents),
                settings=f"protocol={PROTOCOL}",
            ),
            explorer_stage(
                write_explorer,
                (run_files.DATA, run_files.MODEL, run_files.FIGURES_OF_IMAGES, *latents),
                maps,
            ),
            Stage(
                "report",
                partial(self._report, svg=svg),
                reads=(
                    run_files.DATA,
                    run_files.HISTORY,
                    run_files.MODEL,
                    run_files.EVALUATION,
                    run_files.FIGURES_OF_IMAGES,
                ),
                uses=maps,
                optional="report",
                again=("report",),
            ),
        ]

    def check_maps(self, config: RunConfig, images: MapImages) -> None:
        """Check that points and reference maps of all maps exist; raises as `check_maps`."""
        check_maps(config.embeddings, images)

    def trial_training(self, context: RunContext, most: int) -> tuple[TrainingJob, int] | None:
        """Return the run's training on some of its images."""
        rows = context.split.train
        some = spread_rows(rows, most)
        images = DeviceImages(context.images("train").images, context.device, some)
        return _job(context, context.new_model(), images), len(rows)

    def shared_work(self, context: RunContext) -> dict[str, SharedWork]:
        """Return the training and encoding of shares of the images, and pieces of maps and card."""
        return {
            "train": partial(_follow_training, context),
            "encode": partial(follow_encoding, context),
            **{
                f"embed:{part.slug}": partial(follow_refits, part, context.seed)
                for part in context.config.embeddings
            },
            "evaluate": partial(follow_card, context),
        }

    def memory_after_training(self, context: RunContext, latent_dim: int) -> int:
        """Return the bytes of the largest map's estimate, or of the card."""
        images = MapImages.of_context(context, latent_dim)
        fitted, measured = len(context.split.train), len(context.images("test"))
        card = card_bytes(fitted, measured, math.prod(context.image_shape), latent_dim)
        return max(card, most_bytes(context.config.embeddings, images))

    def summary(self, card: Facts) -> dict[str, Any]:
        """Return the parts of the evaluation card, without its protocol and notes."""
        return card_summary(card)

    def rows(self, summary: Facts) -> list[Row]:
        """Return the main results of a summary as rows of name and text."""
        return card_rows(summary)

    def tables(self, card: Facts) -> list[Table]:
        """Return the evaluation card as tables."""
        return card_tables(card)

    def next_command(self, path: Path, summary: Facts) -> str:
        """Suggest a map that is missing, else a run with another option."""
        tried = {*summary["maps"], *(one["part"] for one in summary["left_out"])}
        for embedding in ("isomap", "pca") if summary["latent_dim"] > 1 else ():
            if not tried & {embedding, f"map {embedding}"}:
                return shell_command("embed", path, "--embed", embedding)
        again = ("run", "--config", path / "config.toml")
        if "reconstruction" not in summary:
            return shell_command("transfer" if "representation" in summary else "explore", path)
        if summary["latent_dim"] != 2:
            return shell_command(*again, "-o", "model.latent_dim=2")
        return shell_command(*again, "--corrupt", "gaussian-noise")

    def trained(self, context: StageContext) -> Any:
        """Return the trained model on the context's device, in eval mode."""
        return context.model

    def _report(self, context: StageContext, *, svg: bool) -> None:
        # Imported here, because figures are slow to import and most commands draw none.
        from latentkit.explore.exploration_figures import exploration_figures
        from latentkit.maps.map_figures import map_figures
        from latentkit.report import sections
        from latentkit.report.assemble import write_report

        outline = (
            ("Images", sections.data_figures),
            ("Training", sections.training_figures),
            ("Reconstructions", sections.reconstruction_figures),
            ("Latents", sections.latent_figures),
            ("Maps", map_figures),
            ("Exploration", exploration_figures),
        )
        summary = summarise(context.folder, self)
        summary["seconds"].pop("report", None)  # of an earlier report
        counts = summary["counts"]
        with unexpected_content(context.folder.path / run_files.EVALUATION):
            card = card_tables(context.folder.json(run_files.EVALUATION))
            card += map_tables(map_facts(context.folder))
        write_report(
            context,
            outline,
            title=f"{summary['model']} on {summary['dataset']}",
            subtitle=(
                f"Run {context.folder.manifest.id}, {counts['train']:,} training, "
                f"{counts['validation']:,} validation and {counts['test']:,} test images"
            ),
            summary=summary_rows(summary, self),
            card=card,
            svg=svg,
        )


def _is_trainable(model: Any) -> bool:
    return any(one.requires_grad for one in model.parameters()) and provides(model, HasLoss)


def _without_training(context: RunContext, model: Any) -> RunConfig:
    """Return the configuration with 0 epochs if the model has nothing to train.

    Raises:
        UserError: the model cannot be trained, and epochs are asked for.
    """
    config, name = context.config, context.config.model.name
    if _is_trainable(model):
        return config
    if config.training.epochs not in ("auto", 0):
        why = "no parameters to train" if provides(model, HasLoss) else "no loss"
        raise UserError(f"model {name!r} has {why}, so it is not trained: use --epochs 0")
    return replace(config, training=config.training.model_copy(update={"epochs": 0}))


def _check_warm_up(context: RunContext, model: Any) -> None:
    """Refuse a warm-up that is longer than training."""
    training = context.config.training
    warm_up = getattr(model, "warm_up_steps", 0)
    each = steps_per_epoch(len(context.split.train), int(training.batch_size))
    total = int(training.epochs) * each
    if warm_up > total > 0:
        raise UserError(
            f"model {context.config.model.name!r} warms up for {warm_up:,} steps, but training "
            f"has only {total:,} ({training.epochs} epochs of {each}): lower model.warm_up, or "
            f"train for more epochs"
        )


def _check_single_images(context: RunContext) -> None:
    """Refuse batches of one image if the model cannot train on them, as with batch normalisation.

    Raises:
        UserError: names the option that makes the batches, and says what to change.
    """
    config, count = context.config, len(context.split.train)
    if config.training.epochs == 0 or min(int(config.training.batch_size), count) > 1:
        return
    model = context.new_model().train()
    image = next(context.device_images("train").in_order(1))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model.loss(image, image, step=0)
    except Exception as error:
        normalised = getattr(config.model.options, "norm", "") == "batch"
        why, other = (
            ("with model.norm=batch", ", or set model.norm=group")
            if normalised
            else (f"({describe_error(error)})", "")
        )
        raise UserError(
            f"model {config.model.name!r} cannot train on batches of one image {why}: "
            f"{_larger_batches(context)}{other}"
        ) from error


def _larger_batches(context: RunContext) -> str:
    """Return what to change so that a batch holds more than one image."""
    config, split = context.config, context.split
    if config.training.batch_size == 1 and len(split.train) > 1:
        return "set training.batch_size to 2 or more"
    own = context.images("train").validation is not None
    if own or len(split.train) + len(split.validation) < 3:
        return "there is only 1 training image, so use a data set of more images"
    share = config.split.validation
    return f"split.validation={share} leaves only 1 training image, so set a smaller share"


def _job(context: RunContext, model: Any, some: DeviceImages | None = None) -> TrainingJob:
    """Return the run's training, or one on ``some`` of its images."""
    training = context.config.training
    return TrainingJob(
        model=model,
        train=some or context.device_images("train"),
        validation=some or context.device_images("validation"),
        corruption=context.corruption,
        options=training,
        precision="bfloat16" if training.precision == "bfloat16" else "float32",
        seed=context.seed,
        augmentation=augmentation_of(training),
    )


def _follow_training(context: RunContext, processes: Processes) -> None:
    """Train as one of several processes; process 0 has the weights, and keeps the result."""
    train(replace(_job(context, context.random_model()), processes=processes), None, ignore)


def _train(context: StageContext) -> None:
    job = replace(
        _job(context, started_model(context)),
        config_sha256=context.training_sha256,
        earlier_epochs=tuple(context.folder.manifest.earlier_epochs),
        new_weights=context.config.init is None,
        processes=current(),
    )
    if job.epochs and not _is_trainable(job.model):  # 0 epochs were extended
        name = context.config.model.name
        raise UserError(f"model {name!r} cannot be trained, so this run cannot be extended")
    root = context.folder.path
    checkpoints = CheckpointStore(root / run_files.CHECKPOINTS, root)
    snapshots = _Snapshots(context.folder)
    snapshots.check()
    for notice in choices_made(context.config, context.image_shape):
        context.emit(notice)
    record_processes(context.folder, context.emit)
    if job.processes is not None:
        job.processes.order("train")
    trained = train(job, checkpoints, context.emit, snapshots.keep)
    context.folder.commit(
        run_files.MODEL, "train", lambda path: save_tensors(trained.weights, path)
    )
    document = {"weights_epoch": trained.weights_epoch, "epochs": list(trained.history)}
    if not job.epochs:
        document["weights"] = weights = _untrained_weights(context, job.model)
        level: Literal["info", "warning"] = "warning" if weights == _RANDOM else "info"
        context.emit(Notice("not-trained", f"weights: {weights}", level))
    context.folder.commit_json(run_files.HISTORY, "train", document)


_RANDOM = "random initial values, because the model is not trained"


def _untrained_weights(context: StageContext, model: Any) -> str:
    """Return where the weights of a model come from that is not trained."""
    if context.config.init is not None:
        return f"those of {context.config.init.path}, not trained further"
    if getattr(model, "pretrained", False):
        return "those that the model arrives with, not trained further"
    return _RANDOM if any(True for _ in model.parameters()) else "none, the model has no parameters"


def started_model(context: StageContext) -> Any:
    """Return the model before training: with random weights, or the saved ones of ``init``."""
    if context.config.init is None:
        return context.new_model()
    return load_weights(context.random_model(), context.folder, INITIAL)


class _Snapshots:
    """The weights of chosen epochs, each committed at once, so that a resumed run verifies them.

    They have a stage of their own, because they stay when training is repeated for more epochs.

    Args:
        folder: the run's folder, locked for writing.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def keep(self, epoch: int, weights: Weights) -> None:
        """Commit the weights of an epoch."""
        path = run_files.snapshot_path(epoch)
        self._folder.commit(path, run_files.SNAPSHOTS, partial(save_tensors, weights))
        self._folder.manifest.write(self._folder.path)

    def check(self) -> None:
        """Check the weights that were kept before training was stopped; forget missing ones.

        Raises:
            IntegrityError: a file was changed.
        """
        artefacts = self._folder.manifest.artefacts
        for path, artefact in list(artefacts.items()):
            if artefact.stage != run_files.SNAPSHOTS:
                continue
            if (self._folder.path / path).exists():
                self._folder.verified(path)
            else:
                del artefacts[path]
