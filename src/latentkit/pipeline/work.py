"""The stages of a run: data, train, encode, embed, evaluate."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import RunConfig, canonical_sha256
from latentkit.errors import PluginError
from latentkit.evaluation.inference import encode
from latentkit.pipeline.context import (
    CHECKPOINTS,
    DATA,
    EVALUATION,
    FIGURES_OF_IMAGES,
    HISTORY,
    MODEL,
    SPLITS,
    RunContext,
    latents_path,
    load_weights,
    map_paths,
    snapshot_path,
)
from latentkit.pipeline.evaluate import evaluate
from latentkit.pipeline.maps import embed, reads_of_same_run
from latentkit.pipeline.pages.report import report
from latentkit.pipeline.points import latents_read
from latentkit.pipeline.record import record_images
from latentkit.pipeline.stages import Stage
from latentkit.pipeline.start import INITIAL, START, start_network
from latentkit.pipeline.transfers.plan import transfer_plan
from latentkit.pipeline.verdict.card import PROTOCOL
from latentkit.plugin.events import StageProgress
from latentkit.runs.commit import write_atomically
from latentkit.runs.folder import RunFolder
from latentkit.training.checkpoint import CheckpointStore, save_tensors
from latentkit.training.loop import TrainingJob, train
from latentkit.training.state import Weights


def plan(config: RunConfig, *, svg: bool = False) -> list[Stage]:
    """Return the stages of a run in order; with ``svg``, figures are also drawn as SVG."""
    if config.transfer is not None:
        return transfer_plan(config, svg=svg)
    embeds = [
        Stage(
            f"embed:{part.slug}",
            partial(embed, part=part),
            reads=(DATA, *latents_read(part.map), *reads_of_same_run(part)),
            settings=canonical_sha256(part.as_dict()),
        )
        for part in config.embeddings
    ]
    maps = [path for part in config.embeddings for path in map_paths(part)]
    return [
        Stage("data", record_images),
        *([Stage(START, start_network, reads=(DATA,))] if config.init else []),
        Stage(
            "train",
            _train,
            reads=(DATA, INITIAL) if config.init else (DATA,),
            settings=f"epochs={config.training.epochs}",
        ),
        Stage("encode", _encode, reads=(DATA, MODEL)),
        *embeds,
        Stage(
            "evaluate",
            evaluate,
            reads=(DATA, MODEL, *map(latents_path, SPLITS)),
            settings=f"protocol={PROTOCOL}",
        ),
        Stage(
            "report",
            partial(report, svg=svg),
            reads=(DATA, HISTORY, MODEL, EVALUATION, FIGURES_OF_IMAGES, *maps),
        ),
    ]


def training_plan(config: RunConfig) -> list[Stage]:
    """Return the stages that a trial of a study needs."""
    return [stage for stage in plan(config) if stage.name in ("data", START, "train")]


def _train(context: RunContext) -> None:
    config = context.config
    job = TrainingJob(
        model=started_model(context),
        train=context.device_images("train"),
        validation=context.device_images("validation"),
        corruption=context.corruption,
        options=config.training,
        precision="bfloat16" if config.training.precision == "bfloat16" else "float32",
        seed=context.seed,
        config_sha256=config.trajectory_sha256(),
    )
    checkpoints = CheckpointStore(context.folder.path / CHECKPOINTS)
    trained = train(job, checkpoints, context.tell, partial(_keep, context.folder))
    for epoch in sorted(set(config.training.snapshots)):
        path = context.folder.path / snapshot_path(epoch)
        if path.exists():  # training may have stopped before this epoch
            context.folder.commit(snapshot_path(epoch), "train", partial(shutil.copyfile, path))
    context.folder.commit(MODEL, "train", lambda path: save_tensors(trained.weights, path))
    document = {"weights_epoch": trained.weights_epoch, "epochs": list(trained.history)}
    context.folder.commit_json(HISTORY, "train", document)


def started_model(context: RunContext) -> Any:
    """Return the model before training: with random weights, or the saved ones of ``init``."""
    model = context.new_model()
    return load_weights(model, context.folder, INITIAL) if context.config.init else model


def _keep(folder: RunFolder, epoch: int, weights: Weights) -> None:
    """Write the weights of an epoch; the stage commits them at its end."""
    write_atomically(folder.path / snapshot_path(epoch), partial(save_tensors, weights))


def _encode(context: RunContext) -> None:
    split = context.split
    rows = {
        "train": split.train,
        "validation": split.validation,
        "test": np.arange(len(context.images("test"))),
    }
    for name in SPLITS:
        images = context.device_images(name)

        def progress(done: int, total: int, name: str = name) -> None:
            context.tell(StageProgress("encode", done, total, name))

        latents = encode(context.model, images, progress)
        if not np.isfinite(latents).all():
            raise PluginError(f"the model's latents of the {name} images are not all finite")
        arrays: dict[str, NDArray[Any]] = {"latents": latents, "index": rows[name]}
        labels = context.images("test" if name == "test" else "train").labels
        if labels is not None:
            arrays["labels"] = labels[rows[name]]
        context.folder.commit_arrays(latents_path(name), "encode", **arrays)
