"""Preparation of a run before its folder is made: load parts and images, resolve ``auto``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latentkit.config import MapConfig, RunConfig
from latentkit.data.batches import DeviceImages, augmentation_of, noise_generator
from latentkit.errors import PluginError, UserError
from latentkit.evaluation.inference import encode
from latentkit.plugin.events import Notice
from latentkit.plugin.images import ImageData
from latentkit.plugin.options import option_text
from latentkit.plugin.protocols import ImageShape
from latentkit.plugin.specs import ModelSpec
from latentkit.registry.catalogue import Registry
from latentkit.runs.context import ImageCache, RunContext
from latentkit.runs.find import find_run
from latentkit.runs.initial_weights import resolve_init
from latentkit.runs.kind import RunKind
from latentkit.training.device import resolve_device, resolve_precision, resolve_threads

# With a few hundred images, more epochs than the most only make the model memorise them.
_TYPICAL_EPOCHS, _MOST_EPOCHS, _ENOUGH_STEPS = 10, 50, 2000
_TYPICAL_BATCH, _LEAST_BATCH, _ENOUGH_BATCHES = 256, 32, 32
_FEW_IMAGES, _SMALL_SIDE, _SIDE_OVER_SHIFT = 10_000, 28, 20
_FEW = 8  # images for the trial before a run starts
LEAST_RATE = 8e-3
"""Peak learning rate that suits most models, even with small batches."""


def prepare(
    config: RunConfig,
    registry: Registry,
    data: Path,
    kind: RunKind,
    *,
    runs: Path = Path(),
    image_cache: ImageCache | None = None,
) -> RunContext:
    """Load what the configuration names, and resolve every ``auto`` in it.

    Args:
        config: the configuration of a run without a folder.
        registry: where names are looked up.
        data: the folder of data sets.
        kind: the kind of run, which checks what only it has.
        runs: the folder of other runs, which the configuration may name.
        image_cache: cache of loaded images; None for a new one.

    Returns:
        The context of the run; its ``config`` is resolved.

    Raises:
        LatentkitError: something is missing, damaged, or does not fit.
    """
    device = resolve_device(config.run.device)
    run = config.run.model_copy(
        update={"device": device.type, "threads": resolve_threads(config.run.threads)}
    )
    config = replace(resolve_init(with_found_runs(config, runs), runs), run=run)
    check_parts(config)
    context = RunContext(config, registry, data, device, image_cache, runs)
    train, test = context.images("train"), context.images("test")
    if train.image_shape != test.image_shape:
        raise UserError(
            f"dataset {config.dataset.name!r} has training images {train.image_shape} and test "
            f"images {test.image_shape}: both must have the same shape"
        )
    _check_class_names(config.dataset.name, train, test)
    config = context.config = replace(config, model=config.model.for_images(train.image_shape))
    model = context.new_model()
    _try_out(context, model)
    precision = resolve_precision(config.training.precision, device, model)
    training = config.training.model_copy(update={"precision": precision})
    context.config = replace(config, training=training)
    context.config = kind.prepare(context, model)
    return context


def _check_class_names(dataset: str, train: ImageData, test: ImageData) -> None:
    """Refuse labels that mean other classes in the test images than in the training images."""
    if train.labels is None or test.labels is None or train.class_names == test.class_names:
        return
    here, there = train.class_names, test.class_names
    found = (("training", here, there), ("test", there, here))
    said = [
        f"only the {split} images have {names}"
        for split, own, other in found
        if (names := _first_names([name for name in own if name not in other]))
    ]
    raise UserError(
        f"dataset {dataset!r} names the classes of its training and test images differently "
        f"({'; '.join(said) or 'in another order'}): give both the same list of names"
    )


def _first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more


def _try_out(context: RunContext, model: Any) -> None:
    """Try the model and the corruptions on a few images, to fail before training starts."""
    few = DeviceImages(context.images("train").images[:_FEW], context.device)
    if not np.isfinite(encode(model, few)).all():
        raise PluginError(
            f"model {context.config.model.name!r} gives latents that are not all finite for the "
            f"first training images, before training: choose other weights or options for it"
        )
    noise = noise_generator(context.device, context.seed, "trying-out")
    for index in few.indices():
        context.corruption.try_out(few.batch(index), noise)


def with_found_runs(config: RunConfig, runs: Path, own: str = "") -> RunConfig:
    """Replace each run that ``align_to`` or ``init`` names by its folder.

    A part of a name, or ``last``, may mean another run later: the new run itself, for example.

    Args:
        config: the configuration. A name that no run has stays, and later checks report it.
        runs: the folder of runs.
        own: name of the run's own folder, which ``last`` does not mean; empty if there is none.
    """
    maps = tuple(_with_found_map(part, runs, own) for part in config.embeddings)
    init = config.init
    if init is not None and not Path(init.path).is_file():
        with suppress(UserError):
            found = str(find_run(init.path, runs, other_than=own))
            init = init.model_copy(update={"path": found})
    return replace(config, embeddings=maps, init=init)


def _with_found_map(part: MapConfig, runs: Path, own: str) -> MapConfig:
    run, label = part.reference
    if not run:
        return part
    try:
        path = find_run(run, runs, other_than=own)
    except UserError:
        return part
    name = path.name if path.absolute().parent == runs.absolute() else str(path.absolute())
    full = name if label == part.label and "#" not in name else f"{name}#{label}"
    return replace(part, map=part.map.model_copy(update={"align_to": full}))


def check_parts(config: RunConfig) -> None:
    """Import every chosen part, so that a missing one fails before training starts."""
    for chosen in (config.model, config.dataset, *config.corruptions, *config.embeddings):
        chosen.part.target()


def suited_learning_rate(config: RunConfig, model: Any = None) -> float:
    """Return the learning rate that the model, or else its spec, states for batches of 256."""
    stated = getattr(model, "learning_rate", None)
    if isinstance(stated, float) and 0 < stated < math.inf:
        return stated
    spec = config.model.part.spec
    return spec.learning_rate if isinstance(spec, ModelSpec) else LEAST_RATE


def with_counts(
    config: RunConfig, n: int, rate: float = LEAST_RATE, image_shape: ImageShape | None = None
) -> RunConfig:
    """Turn every ``auto`` option of training into a number.

    Small data sets get smaller batches and more epochs, so that they also train for enough
    steps. The learning rate for batches of 256 is scaled by the square root of the batch size
    (S. Malladi et al., NeurIPS 2022), but not below the rate that suits most models. A few
    thousand photographs are shifted at random, because a network learns them by heart otherwise.

    Args:
        config: the configuration.
        n: number of training images.
        rate: learning rate that suits the model with batches of 256.
        image_shape: channels, height, width; None if images are not to be shifted.
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
    shift = training.shift
    if shift == "auto":
        _, height, width = image_shape or (0, 0, 0)
        larger = max(height, width) > _SMALL_SIDE and min(height, width) > 1  # not a vector
        shift = round(max(height, width) / _SIDE_OVER_SHIFT) if larger and n < _FEW_IMAGES else 0
    counted = {
        "batch_size": batch,
        "epochs": epochs,
        "learning_rate": chosen,
        "shift": shift,
    }
    return replace(config, training=training.model_copy(update=counted))


def choices_made(config: RunConfig, image_shape: ImageShape) -> list[Notice]:
    """Return notices of what was chosen for the images, because it decides what is learned."""
    notices = []
    if names := config.model.chosen():
        options = config.model.for_images(image_shape).options
        told = ", ".join(f"{k}={option_text(v)}" for k, v in options if k in names)
        size = "x".join(map(str, image_shape))
        notices.append(Notice("network", f"{config.model.name} for images {size}: {told}", "info"))
    augmentation = augmentation_of(config.training)
    if augmentation is not None:
        shifted = f"are shifted by up to {augmentation.shift} pixels" * bool(augmentation.shift)
        mirrored = "are mirrored at random" * augmentation.flip
        done = " and ".join(filter(None, (shifted, mirrored)))
        notices.append(Notice("augmentation", f"training images {done}", "info"))
    return notices
