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
from dataclasses import asdict, dataclass, replace
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
from latentkit.plugin.events import BatchFinished, EpochFinished, Listener, Notice, TrainingStarted
from latentkit.plugin.protocols import Corruption, StartsFromImages, provides
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.options import fault_of
from latentkit.training import stopping
from latentkit.training.checkpoint import CheckpointStore, Progress, Unfinished, tensor_bytes
from latentkit.training.device import MemoryMeter, Precision
from latentkit.training.epoch_state import EpochStreams, LossMeter
from latentkit.training.processes import Processes, Share
from latentkit.training.shared_batch import check_divides, sharing
from latentkit.training.state import (
    Staged,
    TrainingState,
    Weights,
    learning_rate,
    named_with,
)
from latentkit.training.step import Steps, loss_terms

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
    progress, of_epoch = _restore(job, state, checkpoints, emit)
    if progress.step == 0 and job.new_weights:
        start_from_images(job)
        state.start_average()
    if job.processes is not None:
        progress, of_epoch = _start_together(job, state, progress, of_epoch)
    steps = Steps(
        state,
        job.options,
        job.precision,
        job.train.device,
        emit,
        job.epochs * job.steps_per_epoch,
        job.processes,
    )
    _announce(job, progress, emit)
    if keep is not None and progress.step == 0 and 0 in job.options.snapshots:
        keep(0, state.weights())
    due_at = -math.inf
    course = _Course(job, state, steps, emit, checkpoints)
    with stopping.heeding():
        while progress.epoch < job.epochs and not _is_enough(job, progress.history, emit):
            record = _run_epoch(course, progress, of_epoch)
            of_epoch = {}
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
        if stopping.is_asked():  # after the last step, whose checkpoint is saved
            raise KeyboardInterrupt
    if job.options.keep == "best" and state.best is not None:
        return Trained(state.best, best_epoch(job, progress.history), progress.history)
    return Trained(state.weights(), progress.epoch, progress.history)


def _announce(job: TrainingJob, progress: Progress, emit: Listener) -> None:
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
) -> tuple[Progress, Weights]:
    """Load the latest checkpoint; return it, and the tensors of an unfinished epoch."""
    start = Progress(0, 0, (), job.config_sha256, job.epochs)
    if checkpoints is None:
        return start, {}
    known = (job.epochs, *job.earlier_epochs)
    progress, tensors, damaged = checkpoints.latest(job.config_sha256, known)
    for line in damaged:
        emit(Notice("checkpoint-damaged", f"{line}; training resumes from an earlier state"))
    if progress is None:
        return start, {}
    state.load(tensors)
    return progress, named_with(_OF_EPOCH, tensors)


def _start_together(
    job: TrainingJob, state: TrainingState, progress: Progress, of_epoch: Weights
) -> tuple[Progress, Weights]:
    """Give the state and the progress of process 0 to the others, and check the first batch."""
    processes = job.processes
    assert processes is not None  # noqa: S101  # the caller has asked
    known = json.dumps(progress.as_dict()).encode()
    progress = Progress.of_dict(json.loads(processes.from_leader(known)))
    everything = {**state.tensors(), **_prefixed(of_epoch)}
    tensors = load(processes.from_leader(tensor_bytes(everything)))
    state.load(tensors)
    index = full_batches(torch.arange(len(job.train)), int(job.options.batch_size))[0]
    images = job.train.batch(index.to(job.train.device))
    job.model.train()
    check_divides(
        job.model,
        lambda inputs, targets: loss_terms(job.model, inputs, targets, progress.step),
        images,
        job.train.targets(index, images),
        processes,
        stream_seed(job.seed, "trying-out"),
    )
    return progress, named_with(_OF_EPOCH, tensors)


_OF_EPOCH = "epoch"


def _prefixed(of_epoch: Mapping[str, Tensor]) -> Weights:
    return {f"{_OF_EPOCH}.{name}": value for name, value in of_epoch.items()}


def start_from_images(job: TrainingJob) -> None:
    """Let the model set its first weights from training images, if it does that."""
    follows = job.processes is not None and job.processes.rank > 0
    if follows or not provides(job.model, StartsFromImages):
        return
    rows = spread_rows(np.arange(len(job.train)), _IMAGES_TO_START_FROM)
    with torch.no_grad(), fault_of("the model's start_from_images failed"):
        job.model.start_from_images(job.train.subset(rows).in_order())


class _Course:
    """What all epochs of a training share, and the checkpoints within them."""

    def __init__(
        self,
        job: TrainingJob,
        state: TrainingState,
        steps: Steps,
        emit: Listener,
        checkpoints: CheckpointStore | None,
    ) -> None:
        self.job, self.state, self.steps, self.emit = job, state, steps, emit
        self.memory = MemoryMeter(job.train.device)
        self._checkpoints = checkpoints
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Return whether a checkpoint within the epoch is due."""
        minutes = self.job.options.checkpoint_minutes
        return bool(minutes) and time.monotonic() - self._saved_at > 60 * minutes

    def save(self, progress: Progress, of_epoch: Mapping[str, Tensor]) -> None:
        """Save a checkpoint within an epoch."""
        if self._checkpoints is not None:
            self._checkpoints.save({**self.state.tensors(), **_prefixed(of_epoch)}, progress)
        self._saved_at = time.monotonic()


def _run_epoch(course: _Course, progress: Progress, of_epoch: Weights) -> EpochFinished:
    """Train for an epoch, or finish one, and validate.

    Args:
        course: what all epochs share.
        progress: the epochs before.
        of_epoch: tensors of the epoch that a checkpoint within it has; empty for a new one.
    """
    job, state, epoch = course.job, course.state, progress.epoch + 1
    before = 0.0 if progress.unfinished is None else progress.unfinished.seconds
    started = time.perf_counter() - before
    terms = _train_epoch(course, progress, of_epoch, started)
    seconds = time.perf_counter() - started
    with state.for_evaluation():
        validation = validate(job, epoch)
    of_process, of_device = course.memory.peak()
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
    course: _Course, progress: Progress, of_epoch: Weights, started: float
) -> dict[str, float]:
    job, steps, epoch = course.job, course.steps, progress.epoch + 1
    device = job.train.device
    streams = EpochStreams(job.seed, epoch, device)
    order = epoch_order(len(job.train), job.seed, epoch, device)
    batches = full_batches(order, int(job.options.batch_size))
    before = (epoch - 1) * len(batches)  # steps
    meter = LossMeter(before)
    done = 0
    if provides(job.model, Staged):
        job.model.begin_epoch(epoch)
    job.model.train()
    steps.begin_epoch()
    if progress.unfinished is not None:
        done = progress.unfinished.batches
        meter.load(of_epoch, progress.unfinished.terms)
        streams.load(of_epoch)
    reported = time.monotonic()
    for number, index in enumerate(batches[done:], done):
        step = before + number
        rate = learning_rate(job.options, step, job.epochs * len(batches))
        course.state.set_learning_rate(rate)
        share = None if job.processes is None else job.processes.share(len(index))
        inputs, targets = _batch(job, job.train, index, share, streams.noise, streams.moves)
        meter.add(steps.take(inputs, targets, step, share), len(index))
        if (stops := steps.should_stop(step)) or course.is_due():
            seconds = time.perf_counter() - started
            unfinished = Unfinished(number + 1, seconds, meter.names)
            at = replace(progress, step=step + 1, unfinished=unfinished)
            course.save(at, {**meter.tensors(), **streams.tensors()})
        if stops:
            raise KeyboardInterrupt
        if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            course.memory.sample()
            loss = meter.means()["loss"]
            course.emit(BatchFinished(epoch, number + 1, len(batches), loss))
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
