"""The one training loop.

It reads top to bottom: epochs, steps, validation, checkpoint. What is random in an epoch (the
order, the noise, what a model draws itself) follows from seed and epoch alone, so training that
goes on from a checkpoint is training that was never interrupted, to the byte.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latentkit.config import TrainingOptions
from latentkit.data.batches import DeviceImages, epoch_order, full_batches
from latentkit.data.corruption import CorruptionChain, noise_generator
from latentkit.plugin.events import (
    BatchFinished,
    EpochFinished,
    Listener,
    Notice,
    TrainingStarted,
)
from latentkit.plugin.protocols import Autoencoder
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.targets import fault_of
from latentkit.training.checkpoint import CheckpointStore, Progress
from latentkit.training.device import Precision
from latentkit.training.meter import LossMeter
from latentkit.training.optimisation import learning_rate, make_optimizer

_SECONDS_BETWEEN_CHECKPOINTS = 2.0
_SECONDS_BETWEEN_REPORTS = 0.1


@dataclass(frozen=True)
class TrainingJob:
    """What is trained on what.

    Args:
        model: already on the device; ``nn.Module`` and `Autoencoder`.
        train: training images.
        validation: validation images.
        corruption: what is done to the inputs; the targets stay clean.
        options: with ``epochs`` and ``batch_size`` as numbers.
        precision: of the forward and backward pass.
        seed: the run's seed.
        config_sha256: marks the checkpoints.
    """

    model: Any
    train: DeviceImages
    validation: DeviceImages
    corruption: CorruptionChain
    options: TrainingOptions
    precision: Precision
    seed: int
    config_sha256: str

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return int(self.options.epochs)

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimiser steps an epoch."""
        order = torch.empty(len(self.train), device="meta")
        return len(full_batches(order, int(self.options.batch_size)))


def train(
    job: TrainingJob, checkpoints: CheckpointStore | None, tell: Listener
) -> tuple[Mapping[str, Any], ...]:
    """Train ``job.model`` in place, going on from the latest checkpoint.

    Args:
        job: what to train.
        checkpoints: where state is kept between epochs; None keeps none.
        tell: hears of batches and epochs.

    Returns:
        One record an epoch: epoch, train and validation loss terms, learning rate, seconds.

    Raises:
        DivergedError: a loss is NaN or infinite; the last checkpoint is from before.
        PluginError: the model or a corruption fails.
    """
    optimizer = make_optimizer(job.model, job.options, job.train.device)
    progress = _restore(job, optimizer, checkpoints, tell)
    tell(
        TrainingStarted(
            epochs=job.epochs,
            first_epoch=progress.epoch,
            steps_per_epoch=job.steps_per_epoch,
            parameters=sum(p.numel() for p in job.model.parameters()),
            device=str(job.train.device),
            precision=job.precision,
        )
    )
    saved_at = -math.inf
    for epoch in range(progress.epoch + 1, job.epochs + 1):
        record = _run_epoch(job, optimizer, epoch, tell)
        history = (*progress.history, asdict(record))
        progress = Progress(epoch, epoch * job.steps_per_epoch, history, job.config_sha256)
        due = epoch == job.epochs or time.monotonic() - saved_at > _SECONDS_BETWEEN_CHECKPOINTS
        if checkpoints is not None and due:
            checkpoints.save(job.model, optimizer, progress)
            saved_at = time.monotonic()
        tell(record)
    return progress.history


def _restore(
    job: TrainingJob,
    optimizer: torch.optim.Optimizer,
    checkpoints: CheckpointStore | None,
    tell: Listener,
) -> Progress:
    progress, damaged = None, list[str]()
    if checkpoints is not None:
        progress, damaged = checkpoints.restore(job.model, optimizer, job.config_sha256)
    for line in damaged:
        tell(Notice("checkpoint-damaged", f"{line}; going on from an earlier one"))
    return progress or Progress(0, 0, (), job.config_sha256)


def _run_epoch(
    job: TrainingJob, optimizer: torch.optim.Optimizer, epoch: int, tell: Listener
) -> EpochFinished:
    started = time.perf_counter()
    terms = _train_epoch(job, optimizer, epoch, tell)
    seconds = time.perf_counter() - started
    return EpochFinished(
        epoch=epoch,
        epochs=job.epochs,
        train=terms,
        validation=validate(job, epoch),
        learning_rate=optimizer.param_groups[0]["lr"],
        seconds=seconds,
    )


def _train_epoch(
    job: TrainingJob, optimizer: torch.optim.Optimizer, epoch: int, tell: Listener
) -> dict[str, float]:
    device = job.train.device
    torch.manual_seed(stream_seed(job.seed, "train", epoch))  # for what the model itself draws
    noise = noise_generator(device, job.seed, "train", epoch)
    order = epoch_order(len(job.train), job.seed, epoch, device)
    batches = full_batches(order, int(job.options.batch_size))
    total = job.epochs * len(batches)
    meter = LossMeter((epoch - 1) * len(batches))
    reported = time.monotonic()
    job.model.train()
    for number, index in enumerate(batches):
        step = (epoch - 1) * len(batches) + number
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(job.options, step, total)
        targets = job.train.batch(index)
        inputs = job.corruption(targets, noise)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=job.precision == "bfloat16"):
            terms = _loss(job.model, inputs, targets, step)
        terms["loss"].backward()
        optimizer.step()
        meter.add(terms, len(index))
        if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            tell(BatchFinished(epoch, number + 1, len(batches), meter.means()["loss"]))
    return meter.means()


@torch.no_grad()
def validate(job: TrainingJob, epoch: int) -> dict[str, float]:
    """Return the mean loss terms over the validation images: eval mode, float32, fixed noise."""
    job.model.eval()
    torch.manual_seed(stream_seed(job.seed, "validate"))
    noise = noise_generator(job.validation.device, job.seed, "validation")
    step = epoch * job.steps_per_epoch
    meter = LossMeter(step - 1)
    for targets in job.validation.in_order():
        terms = _loss(job.model, job.corruption(targets, noise), targets, step)
        meter.add(terms, len(targets))
    return meter.means()


def _loss(model: Any, inputs: Tensor, targets: Tensor, step: int) -> dict[str, Any]:
    with fault_of("the model's loss failed"):
        terms = dict(model.loss(inputs, targets, step=step))
        if terms["loss"].ndim:
            raise ValueError(f"'loss' has shape {tuple(terms['loss'].shape)}, expected a scalar")
    return terms


def is_trainable(model: object) -> bool:
    """Return whether ``model`` keeps the contract of a model."""
    return isinstance(model, nn.Module) and isinstance(model, Autoencoder)
