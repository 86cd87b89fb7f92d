"""Training of a `latentkit.LatentEncoder`: the training loop of a run, without a run's folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from latentkit.api.encoder_inputs import InputError
from latentkit.config import (
    DEFAULT_MODEL,
    DEFAULT_VECTOR_MODEL,
    PartConfig,
    RunConfig,
    build_config,
    choose_part,
    find_part,
)
from latentkit.data.batches import DeviceImages
from latentkit.data.corruption import CorruptionChain
from latentkit.data.split import split_train_validation
from latentkit.pipeline.context import build_model
from latentkit.pipeline.prepare import suited_learning_rate, with_counts
from latentkit.plugin.events import EpochFinished, Event, Listener
from latentkit.plugin.protocols import ImageShape
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.catalogue import Registry
from latentkit.training.device import repeatable, resolve_device, resolve_precision, resolve_threads
from latentkit.training.loop import Record, TrainingJob, train

LEAST_SAMPLES = 3
"""Two to train on, because batch normalisation needs two, and one to choose the best epoch."""

_TAKES_VECTORS = "vectors"


def choose_model(registry: Registry, name: str, *, vectors: bool) -> str:
    """Return the model's name; ``auto`` is the default for vectors or for images.

    Raises:
        UserError: there is no such model.
        InputError: the inputs are vectors, and the model takes images only.
    """
    if name == "auto":
        return DEFAULT_VECTOR_MODEL if vectors else DEFAULT_MODEL
    if vectors and _TAKES_VECTORS not in registry.get("model", name).spec.tags:
        found = [p.spec.name for p in registry.parts("model") if _TAKES_VECTORS in p.spec.tags]
        raise InputError(
            f"model {name!r} takes images, but X has rows of features: reshape X to (N, H, W) if "
            f"they are pixels, or choose a model that takes vectors ({', '.join(found)})"
        )
    return name


def encoder_config(
    registry: Registry,
    model: Mapping[str, Any],
    training: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> RunConfig:
    """Return a validated configuration; its data set and embeddings are not used.

    Args:
        registry: where names are looked up.
        model: the model's name and options.
        training: options of training.
        overrides: seed, device and the share of validation samples.

    Raises:
        UserError: an unknown option, or a value of the wrong type or range.
    """
    document = {"model": dict(model), "training": dict(training)}
    return build_config(document, registry, overrides=overrides)


def train_network(
    config: RunConfig, registry: Registry, images: NDArray[Any], tell: Listener
) -> tuple[Any, tuple[Record, ...]]:
    """Train a network on images (N, C, H, W), N at least `LEAST_SAMPLES`.

    Returns:
        The network on its device, in eval mode, and one record per epoch.

    Raises:
        InputError: too few samples are left to train on.
        LatentkitError: as in the training of a run.
    """
    share, seed = config.split.validation, config.run.seed
    split = split_train_validation(len(images), None, share, stream_seed(seed, "split"))
    if len(split.train) < 2:
        raise InputError(
            f"validation={share:g} leaves 1 of {len(images)} samples to train on: lower it"
        )
    device = resolve_device(config.run.device)
    rate = suited_learning_rate(config, registry)
    with repeatable(device, resolve_threads(config.run.threads)):
        torch.manual_seed(stream_seed(seed, "initialisation"))
        network = new_network(registry, config.model, images.shape[1:])
        job = TrainingJob(
            model=network.to(device, memory_format=torch.channels_last),
            train=DeviceImages(images, device, split.train),
            validation=DeviceImages(images, device, split.validation),
            corruption=CorruptionChain(),
            options=with_counts(config, len(split.train), rate).training,
            precision=resolve_precision(config.training.precision, device, network),
            seed=seed,
            config_sha256="",
        )
        trained = train(job, None, tell)
    network.load_state_dict(trained.weights)
    return network.eval(), trained.history


def new_network(registry: Registry, part: PartConfig, image_shape: ImageShape) -> Any:
    """Build a network with new random weights; errors are those of `build_model`."""
    return build_model(find_part(registry, "model", part).target(), part, image_shape)


def rebuilt_network(
    registry: Registry,
    model: Mapping[str, Any],
    image_shape: ImageShape,
    weights: Mapping[str, Any],
) -> Any:
    """Build a network on the CPU with trained weights, in eval mode.

    Args:
        registry: where the model is looked up.
        model: the model's name and options.
        image_shape: channels, height, width.
        weights: tensors or arrays by name; they are copied.

    Raises:
        UserError: the model is not installed, or its weights have other names or shapes.
    """
    part = choose_part(registry, "model", model)
    with torch.random.fork_rng(devices=[]):
        network = new_network(registry, part, image_shape)
    tensors = {
        name: value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
        for name, value in weights.items()
    }
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(
            f"the weights do not fit the installed version of model {part.name!r}: {first}"
        ) from error
    return network.eval()


def print_epochs(event: Event) -> None:
    """Print one line per epoch, as scikit-learn's verbose estimators do."""
    if isinstance(event, EpochFinished):
        losses = f"train {event.train['loss']:.4g}, validation {event.validation['loss']:.4g}"
        line = f"epoch {event.epoch}/{event.epochs}: {losses}, {event.seconds:.2f} s"
        sys.stdout.write(f"[LatentEncoder] {line}\n")


def seed_of(random_state: Any) -> int:
    """Return the seed of a ``random_state``; an integer is itself the seed, as in a run."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def plain(value: Any) -> Any:
    """Convert NumPy's numbers and arrays, which a grid search sets, to Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
