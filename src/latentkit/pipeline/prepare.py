"""Preparation of a run before its folder is made: load parts and images, resolve ``auto``."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, find_part
from latentkit.data.batches import DeviceImages
from latentkit.data.corruption import noise_generator
from latentkit.errors import UserError
from latentkit.evaluation.inference import encode
from latentkit.pipeline.context import ImageShelf, Workshop
from latentkit.pipeline.maps import check_maps
from latentkit.pipeline.start import check_start, resolve_init
from latentkit.pipeline.transfers.prepare import prepare_transfer
from latentkit.plugin.specs import ModelSpec
from latentkit.registry.catalogue import Registry
from latentkit.training.device import resolve_device, resolve_precision, resolve_threads
from latentkit.training.loop import steps_per_epoch

# With a few hundred images, more epochs than the most only make the model memorise them.
_TYPICAL_EPOCHS, _MOST_EPOCHS, _ENOUGH_STEPS = 10, 50, 2000
_TYPICAL_BATCH, _LEAST_BATCH, _ENOUGH_BATCHES = 256, 32, 32
_FEW = 8  # images for the trial before a run starts
LEAST_RATE = 8e-3
"""Peak learning rate that suits most models, even with small batches."""


def prepare(
    config: RunConfig, registry: Registry, data: Path, shelf: ImageShelf | None = None
) -> tuple[RunConfig, Workshop]:
    """Load what the configuration names, and resolve every ``auto`` in it.

    Raises:
        LatentkitError: something is missing, damaged, or does not fit.
    """
    device = resolve_device(config.run.device)
    run = config.run.model_copy(
        update={"device": device.type, "threads": resolve_threads(config.run.threads)}
    )
    config = replace(resolve_init(config), run=run)
    check_parts(config, registry)
    workshop = Workshop(config, registry, data, device, shelf)
    train, test = workshop.images("train"), workshop.images("test")
    if train.image_shape != test.image_shape:
        raise UserError(
            f"dataset {config.dataset.name!r} has training images {train.image_shape} and test "
            f"images {test.image_shape}: both must have the same shape"
        )
    model = workshop.new_model()
    _try_out(workshop, model)
    precision = resolve_precision(config.training.precision, device, model)
    training = config.training.model_copy(update={"precision": precision})
    workshop.config = config = replace(config, training=training)
    if config.transfer is not None:
        workshop.config = prepare_transfer(workshop, with_counts)
        return workshop.config, workshop
    counts = {"train": len(workshop.split.train), "validation": len(workshop.split.validation)}
    check_maps(config.embeddings, {**counts, "test": len(test)}, None)
    rate = suited_learning_rate(config, registry)
    workshop.config = with_counts(config, len(workshop.split.train), rate)
    _check_warm_up(workshop, model)
    if config.init is not None:
        check_start(workshop)
    return workshop.config, workshop


def _try_out(workshop: Workshop, model: Any) -> None:
    """Try the model and the corruptions on a few images, to fail before training starts."""
    few = DeviceImages(workshop.images("train").images[:_FEW], workshop.device)
    encode(model, few)
    noise = noise_generator(workshop.device, workshop.seed, "trying-out")
    for index in few.indices():
        workshop.corruption.try_out(few.batch(index), noise)


def _check_warm_up(workshop: Workshop, model: Any) -> None:
    """Refuse a warm-up that is longer than training."""
    training = workshop.config.training
    warm_up = getattr(model, "warm_up_steps", 0)
    each = steps_per_epoch(len(workshop.split.train), int(training.batch_size))
    total = int(training.epochs) * each
    if warm_up > total > 0:
        raise UserError(
            f"model {workshop.config.model.name!r} warms up for {warm_up:,} steps, but training "
            f"has only {total:,} ({training.epochs} epochs of {each}): lower model.warm_up, or "
            f"train for more epochs"
        )


def check_parts(config: RunConfig, registry: Registry) -> None:
    """Import every chosen part, so that a missing one fails before training starts."""
    find_part(registry, "model", config.model).target()
    find_part(registry, "dataset", config.dataset).target()
    for part in config.corruptions:
        find_part(registry, "corruption", part).target()
    for part in config.embeddings:
        find_part(registry, "embedding", part).target()


def suited_learning_rate(config: RunConfig, registry: Registry) -> float:
    """Return the learning rate that the model's spec states for batches of 256."""
    spec = find_part(registry, "model", config.model).spec
    return spec.learning_rate if isinstance(spec, ModelSpec) else LEAST_RATE


def with_counts(config: RunConfig, n: int, rate: float = LEAST_RATE) -> RunConfig:
    """Turn ``auto`` epochs, batch size and learning rate into numbers for ``n`` training images.

    Small data sets get smaller batches and more epochs, so that they also train for enough
    steps. The learning rate for batches of 256 is scaled by the square root of the batch size
    (S. Malladi et al., NeurIPS 2022), but not below the rate that suits most models.
    """
    training = config.training
    batch = training.batch_size
    if batch == "auto":
        power = 1 << int(math.log2(max(1, n // _ENOUGH_BATCHES)))
        batch = min(_TYPICAL_BATCH, max(_LEAST_BATCH, power))
    epochs = training.epochs
    if epochs == "auto":
        steps = max(1, n // int(batch))
        epochs = min(_MOST_EPOCHS, max(_TYPICAL_EPOCHS, round(_ENOUGH_STEPS / steps)))
    chosen = training.learning_rate
    if chosen == "auto":
        scaled = rate * math.sqrt(min(1.0, int(batch) / _TYPICAL_BATCH))
        chosen = max(scaled, min(rate, LEAST_RATE))
    counted = {"batch_size": batch, "epochs": epochs, "learning_rate": chosen}
    return replace(config, training=training.model_copy(update=counted))
