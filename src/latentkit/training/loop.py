"""The training loop.

It reads top to bottom: epochs, steps, validation, checkpoint. All that is random in an epoch (the
order, the noise, what a model draws itself) depends only on seed and epoch. So training that
resumes from a checkpoint gives the same weights, to the byte, as uninterrupted training. For the
same reason, early stopping and the choice of the best epoch depend only on the history.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Generator, Tensor

from latentkit.config import TrainingOptions
from latentkit.data.batches import (
    CorruptionChain,
    DeviceImages,
    epoch_order,
    full_batches,
    noise_generator,
    spread_rows,
)
from latentkit.errors import DivergedError
from latentkit.plugin.events import BatchFinished, EpochFinished, Listener, Notice, TrainingStarted
from latentkit.plugin.protocols import Corruption, StartsFromImages, provides
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.options import fault_of
from latentkit.training.checkpoint import CheckpointStore, Progress, tensor_bytes
from latentkit.training.device import MemoryMeter, Precision
from latentkit.training.processes import Processes, Share
from latentkit.training.shared_batch import check_divides, sharing
from latentkit.training.state import Staged, TrainingState, Weights, learning_rate
from latentkit.training.step import Steps, loss_terms


class LossMeter:
    """Collector of the loss terms of every batch.

    Terms stay on the device because each copy to the CPU waits for the device. Only `check` and
    `means` copy them, each batch once.
    """

    def __init__(self, first_step: int = 0) -> None:
        self._first_step = first_step
        self._names: tuple[str, ...] = ()
        self._new: list[tuple[Tensor, float]] = []
        self._weighted: Tensor | None = None
        self._steps = 0
        self._images = 0.0

    def add(self, terms: Mapping[str, Tensor], count: float) -> None:
        """Add the terms of a batch of ``count`` images."""
        self._names = tuple(terms)
        row = torch.stack([value.detach().float() for value in terms.values()])
        self._new.append((row, count))

    def check(self) -> None:
        """Check the batches since the last check.

        Raises:
            DivergedError: a term is NaN or infinite; the message names the first such step and
                its terms.
        """
        if not self._new:
            return
        rows = torch.stack([row for row, _ in self._new]).cpu()
        wrong = ~rows.isfinite()
        if wrong.any():
            row = int(wrong.any(1).nonzero()[0])
            terms = [
                name for name, is_wrong in zip(self._names, wrong[row], strict=True) if is_wrong
            ]
            raise DivergedError(
                f"training diverged at step {self._first_step + self._steps + row + 1}: "
                f"{' and '.join(terms)} became NaN or infinite, and would again; start another "
                f"run with a lower training.learning_rate, with training.clip_norm=1, or with "
                f"training.precision=float32"
            )
        counts = torch.tensor([count for _, count in self._new], dtype=torch.float64)
        weighted = rows.double() * counts[:, None]
        known = self._weighted
        self._weighted = weighted if known is None else torch.cat([known, weighted])
        self._steps += len(self._new)
        self._images += float(counts.sum())
        self._new = []

    def means(self, processes: Processes | None = None) -> dict[str, float]:
        """Run `check`, and return the mean of each term over all images.

        It sums all batches at once. A running sum would round differently, so the means would
        depend on when progress is reported.

        Args:
            processes: those that have the other images of each batch; None if there are none.
        """
        self.check()
        assert self._weighted is not None  # noqa: S101  # an epoch has a batch
        sums = torch.cat([self._weighted.sum(0), torch.tensor([self._images]).double()])
        if processes is not None:
            processes.sum_(sums)
        means = sums[:-1] / sums[-1]
        return dict(zip(self._names, means.tolist(), strict=True))


_SECONDS_BETWEEN_CHECKPOINTS = 2.0
_PAUSE_OVER_SAVING = 10  # multiple of a save's duration: saving takes a tenth of the time
_SECONDS_BETWEEN_REPORTS = 0.1
_IMAGES_TO_START_FROM = 10_000

Record = Mapping[str, Any]
KeepWeights = Callable[[int, Weights], None]
"""Receives an epoch and the model's weights after it."""


@dataclass(frozen=True)
class TrainingJob:
    """Model, images and options of one training.

    Args:
        model: already on the device; ``nn.Module`` with the ``loss`` of an `Autoencoder`, which
            training of 0 epochs does not need. It may be a `Staged` one.
        train: training images and their targets.
        validation: validation images and their targets.
        corruption: applied to the inputs; the targets stay clean.
        options: training options, with ``epochs`` and ``batch_size`` as numbers.
        precision: precision of the forward and backward pass.
        seed: the run's seed.
        config_sha256: SHA-256 of the configuration; checkpoints with another one are not used. It
            may be empty if nothing is saved.
        augmentation: applied to training images, and to their targets if these are images.
        earlier_epochs: the numbers of epochs that this training had before it was extended.
        new_weights: whether the model has its random weights, so that it may start from images; if
            not, it has saved ones.
        processes: those that share each batch, all with this job; None for one process. The first
            one has the checkpoints, and its state is where all of them start.
    """

    model: Any
    train: DeviceImages
    validation: DeviceImages
    corruption: CorruptionChain
    options: TrainingOptions
    precision: Precision
    seed: int
    config_sha256: str = ""
    augmentation: Corruption | None = None
    earlier_epochs: tuple[int, ...] = ()
    new_weights: bool = True
    processes: Processes | None = None

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return int(self.options.epochs)

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimiser steps per epoch."""
        return steps_per_epoch(len(self.train), int(self.options.batch_size))

    @property
    def warm_up_steps(self) -> int:
        """Number of steps before the model's loss has its final form."""
        return int(getattr(self.model, "warm_up_steps", 0))


@dataclass(frozen=True)
class Trained:
    """Result of training.

    Args:
        weights: the model's state after epoch ``weights_epoch``.
        weights_epoch: the best epoch or the last, depending on the options.
        history: one record per epoch: epoch, loss terms, learning rate, seconds, memory.
    """

    weights: Weights
    weights_epoch: int
    history: tuple[Record, ...]


def train(
    job: TrainingJob,
    checkpoints: CheckpointStore | None,
    emit: Listener,
    keep: KeepWeights | None = None,
) -> Trained:
    """Train ``job.model`` in place, resuming from the latest checkpoint if there is one.

    Args:
        job: what to train.
        checkpoints: where state is saved between epochs. With None, nothing is saved.
        emit: receives the events of training.
        keep: receives the weights of the epochs in ``job.options.snapshots``, before the epoch's
            checkpoint is saved and its event is emitted.

    Raises:
        DivergedError: a loss is NaN or infinite; the last checkpoint is older than that.
        PluginError: the model or a corruption fails.
    """
    if not job.epochs:
        return _untrained(job, keep)
    state = TrainingState(job.model, job.options, job.train.device)
    progress = _restore(job, state, checkpoints, emit)
    if progress.epoch == 0 and job.new_weights:
        start_from_images(job)
        state.start_average()
    if job.processes is not None:
        progress = _start_together(job, state, progress)
    steps = Steps(
        state,
        job.options,
        job.precision,
        job.train.device,
        emit,
        job.epochs * job.steps_per_epoch,
        job.processes,
    )
    emit(
        TrainingStarted(
            epochs=job.epochs,
            first_epoch=progress.epoch,
            steps_per_epoch=job.steps_per_epoch,
            parameters=sum(p.numel() for p in job.model.parameters() if p.requires_grad),
            device=str(job.train.device),
            precision=job.precision,
            placement=job.train.placement,
            warm_up_steps=job.warm_up_steps,
        )
    )
    if keep is not None and progress.epoch == 0 and 0 in job.options.snapshots:
        keep(0, state.weights())
    due_at = -math.inf
    memory = MemoryMeter(job.train.device)
    while progress.epoch < job.epochs and not _is_enough(job, progress.history, emit):
        record = _run_epoch(job, state, steps, progress.epoch + 1, emit, memory)
        history = (*progress.history, asdict(record))
        epoch = record.epoch
        step = epoch * job.steps_per_epoch
        progress = Progress(epoch, step, history, job.config_sha256, job.epochs)
        if job.options.keep == "best" and best_epoch(job, history) == epoch:
            state.best = state.weights()
        if keep is not None and epoch in job.options.snapshots:
            keep(epoch, state.weights())
        began = time.monotonic()
        if checkpoints is not None and (epoch == job.epochs or began > due_at):
            checkpoints.save(state.tensors(), progress)
            ended = time.monotonic()
            pause = max(_SECONDS_BETWEEN_CHECKPOINTS, _PAUSE_OVER_SAVING * (ended - began))
            due_at = ended + pause
        emit(record)
    if job.options.keep == "best" and state.best is not None:
        return Trained(state.best, best_epoch(job, progress.history), progress.history)
    return Trained(state.weights(), progress.epoch, progress.history)


def _untrained(job: TrainingJob, keep: KeepWeights | None) -> Trained:
    """Return the initial weights: a model that is not trained needs no optimiser."""
    weights = {name: value.detach().clone() for name, value in job.model.state_dict().items()}
    if keep is not None and 0 in job.options.snapshots:
        keep(0, weights)
    return Trained(weights, 0, ())


def best_epoch(job: TrainingJob, history: Sequence[Record]) -> int:
    """Return the epoch of lowest validation loss; of equals, the first.

    Epochs that end within the model's warm-up do not count because their loss has another form. If
    all epochs do, the last one is returned.
    """
    counted = [r for r in history if r["epoch"] * job.steps_per_epoch >= job.warm_up_steps]
    if not counted:
        return int(history[-1]["epoch"])
    return int(min(counted, key=lambda r: (r["validation"]["loss"], r["epoch"]))["epoch"])


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return the number of optimiser steps in an epoch of ``n`` images."""
    return len(full_batches(torch.empty(n, device="meta"), batch_size))


def _is_enough(job: TrainingJob, history: Sequence[Record], emit: Listener) -> bool:
    """Return whether training should stop early, and emit a notice if so."""
    if not job.options.patience or not history:
        return False
    epoch, best = int(history[-1]["epoch"]), best_epoch(job, history)
    if epoch - best < job.options.patience:
        return False
    emit(
        Notice(
            "stopped-early",
            f"stopped after epoch {epoch}: the validation loss has not fallen since epoch {best}",
            "info",
        )
    )
    return True


def _restore(
    job: TrainingJob,
    state: TrainingState,
    checkpoints: CheckpointStore | None,
    emit: Listener,
) -> Progress:
    start = Progress(0, 0, (), job.config_sha256, job.epochs)
    if checkpoints is None:
        return start
    known = (job.epochs, *job.earlier_epochs)
    progress, tensors, damaged = checkpoints.latest(job.config_sha256, known)
    for line in damaged:
        emit(Notice("checkpoint-damaged", f"{line}; training resumes from an earlier state"))
    if progress is None:
        return start
    state.load(tensors)
    return progress


def _start_together(job: TrainingJob, state: TrainingState, progress: Progress) -> Progress:
    """Give the state and the progress of process 0 to the others, and check the first batch."""
    processes = job.processes
    assert processes is not None  # noqa: S101  # the caller has asked
    known = json.dumps([progress.epoch, list(progress.history)]).encode()
    epoch, history = json.loads(processes.from_leader(known))
    state.load(load(processes.from_leader(tensor_bytes(state.tensors()))))
    index = full_batches(torch.arange(len(job.train)), int(job.options.batch_size))[0]
    images = job.train.batch(index.to(job.train.device))
    job.model.train()
    check_divides(
        job.model,
        lambda inputs, targets: loss_terms(job.model, inputs, targets, epoch * job.steps_per_epoch),
        images,
        job.train.targets(index, images),
        processes,
        stream_seed(job.seed, "trying-out"),
    )
    step = epoch * job.steps_per_epoch
    return Progress(epoch, step, tuple(history), job.config_sha256, job.epochs)


def start_from_images(job: TrainingJob) -> None:
    """Let the model set its first weights from training images, if it does that."""
    follows = job.processes is not None and job.processes.rank > 0
    if follows or not provides(job.model, StartsFromImages):
        return
    rows = spread_rows(np.arange(len(job.train)), _IMAGES_TO_START_FROM)
    with torch.no_grad(), fault_of("the model's start_from_images failed"):
        job.model.start_from_images(job.train.subset(rows).in_order())


def _run_epoch(
    job: TrainingJob,
    state: TrainingState,
    steps: Steps,
    epoch: int,
    emit: Listener,
    memory: MemoryMeter,
) -> EpochFinished:
    started = time.perf_counter()
    terms = _train_epoch(job, state, steps, epoch, emit, memory)
    seconds = time.perf_counter() - started
    with state.for_evaluation():
        validation = validate(job, epoch)
    of_process, of_device = memory.peak()
    return EpochFinished(
        epoch=epoch,
        epochs=job.epochs,
        train=terms,
        validation=validation,
        learning_rate=state.learning_rate,
        seconds=seconds,
        memory_bytes=of_process,
        device_memory_bytes=of_device,
    )


def _train_epoch(
    job: TrainingJob,
    state: TrainingState,
    steps: Steps,
    epoch: int,
    emit: Listener,
    memory: MemoryMeter,
) -> dict[str, float]:
    device = job.train.device
    torch.manual_seed(stream_seed(job.seed, "train", epoch))  # for what the model itself draws
    noise = noise_generator(device, job.seed, "train", epoch)
    moves = noise_generator(device, job.seed, "augmentation", epoch)
    order = epoch_order(len(job.train), job.seed, epoch, device)
    batches = full_batches(order, int(job.options.batch_size))
    total = job.epochs * len(batches)
    meter = LossMeter((epoch - 1) * len(batches))
    reported = time.monotonic()
    if provides(job.model, Staged):
        job.model.begin_epoch(epoch)
    job.model.train()
    steps.begin_epoch()
    for number, index in enumerate(batches):
        step = (epoch - 1) * len(batches) + number
        state.set_learning_rate(learning_rate(job.options, step, total))
        share = None if job.processes is None else job.processes.share(len(index))
        inputs, targets = _batch(job, job.train, index, share, noise, moves)
        terms = steps.take(inputs, targets, step, share)
        meter.add(terms, len(index))
        if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            memory.sample()
            emit(BatchFinished(epoch, number + 1, len(batches), meter.means()["loss"]))
    return meter.means()


def _batch(
    job: TrainingJob,
    source: DeviceImages,
    index: Tensor,
    share: Share | None,
    noise: Generator,
    moves: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of a batch, or of a process's share of it.

    Corruption and augmentation see the whole batch, so that their draws do not depend on the share.
    """
    moved = job.augmentation if moves is not None else None
    if share is not None and moved is None and not job.corruption:
        index, share = index[share.rows], None
    images = source.batch(index)
    if moved is not None and moves is not None:
        images = moved(images, moves)
    targets = source.targets(index, images)
    inputs = job.corruption(images, noise)
    return (inputs, targets) if share is None else (inputs[share.rows], targets[share.rows])


@torch.no_grad()
def validate(job: TrainingJob, epoch: int) -> dict[str, float]:
    """Return the mean loss terms over the validation images: eval mode, float32, fixed noise."""
    job.model.eval()
    torch.manual_seed(stream_seed(job.seed, "validate"))
    noise = noise_generator(job.validation.device, job.seed, "validation")
    step = epoch * job.steps_per_epoch
    meter = LossMeter(step - 1)
    for index in job.validation.indices():
        share = None if job.processes is None else job.processes.share(len(index))
        inputs, targets = _batch(job, job.validation, index, share, noise)
        with sharing(job.processes, share):
            terms = loss_terms(job.model, inputs, targets, step)
        meter.add(terms, len(index) if share is None else share.weight * len(index))
    return meter.means(job.processes)
