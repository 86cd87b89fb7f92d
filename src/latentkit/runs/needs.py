"""What is said of a run before its folder is made: what it needs, and faults of its images.

Memory follows from the tensors that a training step of a few images keeps for its backward pass,
and from what maps and card state. Time is that of a few steps, if the training is long. A new model
takes these steps, so the run's own does not change.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from latentkit.data.batches import epoch_order, noise_generator, spread_rows
from latentkit.errors import PluginError, ResourceError, StorageError
from latentkit.plugin.events import Listener, Notice
from latentkit.plugin.image_cache import cache_folder
from latentkit.plugin.images import ImageData
from latentkit.plugin.machine import available_memory_bytes
from latentkit.plugin.protocols import provides
from latentkit.runs.context import RunContext
from latentkit.runs.kind import RunKind
from latentkit.training.device import repeatable
from latentkit.training.loop import TrainingJob
from latentkit.training.processes import current
from latentkit.training.state import Staged, TrainingState
from latentkit.training.step import Steps, loss_terms

_LOOKED_AT, _MOST_VALUES = 1000, 2**25  # most images and values that are looked at for faults
_DARK = 32  # of 255; images whose brightest pixel is below it are nearly black
_FEW = 8  # images of the step that memory is measured on
_LONG = 100_000_000  # values of images in all epochs from which on the time of a step is measured
_STEPS, _SECONDS = 8, 1.0  # most steps that are measured, and the time after which none is begun
_DRAWING = 400_000_000  # bytes that the report takes, of which the packages for figures are most
_REPORT = 17_000_000  # bytes of figures and report on the disk
_EXPLORER = 30_000_000  # most bytes of the explorer on the disk
_TILE = 64 * 64 * 3  # most values of an image on it, which take a fifth of a byte each
_BYTES_OF_IMAGE = 200  # on the disk: index, label and what the card says of each image
_KEPT = 3  # checkpoints: the last two, and the one that is being written
_VALIDATION = 1 / 3  # the time of an image without its backward pass


@dataclass(frozen=True)
class Needs:
    """What a run needs.

    Args:
        memory: bytes of the process at its largest.
        training: bytes that training adds on its device.
        others: bytes that the stages after training add at most.
        disk: bytes of the run's folder.
        cached: bytes of its decoded images, which are in the cache already.
        epochs: number of epochs.
        seconds: time of an epoch; None if it was not measured.
    """

    memory: int
    training: int
    others: int
    disk: int
    cached: int
    epochs: int
    seconds: float | None = None

    def __str__(self) -> str:
        """Return one line that says everything."""
        parts = [f"{size_text(self.memory)} of memory", f"{size_text(self.disk)} of disk"]
        if self.cached:
            parts[1] += f" (beside {size_text(self.cached)} of decoded images)"
        if self.seconds is None:
            return f"needs about {' and '.join(parts)}"
        epochs = f"{self.epochs} epochs" if self.epochs != 1 else "1 epoch"
        total = duration_text(self.epochs * self.seconds)
        parts.append(f"and {duration_text(self.seconds)} an epoch ({epochs}, {total})")
        return f"needs about {', '.join(parts)}"


def state_needs(context: RunContext, kind: RunKind, runs: Path, emit: Listener) -> None:
    """Say what a run needs, refuse it if this cannot fit, and warn of faults of its images.

    Args:
        context: the run before it has a folder, with its configuration resolved.
        kind: the kind of run.
        runs: the folder that the run's folder will be made in.
        emit: receives notices.

    Raises:
        ResourceError: there is too little memory; the message says what to change.
        StorageError: there is too little room on the disk.
    """
    found = kind.trial_training(context, _FEW)
    if found is None:
        return
    job, n = found
    if fault := image_fault(context.images("train")):
        emit(Notice("image-fault", fault))
    try:
        with repeatable(context.device, context.config.run.threads):
            needs = _checked_needs(context, kind, job, n, runs)
            long = n * job.train.values_of_image * job.epochs >= _LONG
            if long and current() is None:  # the time of several processes is not known
                longer = kind.trial_training(context, (_STEPS + 1) * _batch_size(job))
                assert longer is not None  # noqa: S101  # it was there before
                validation = len(context.split.validation)
                seconds = seconds_of_epoch(*longer, validation, _STEPS, _SECONDS)
                needs = replace(needs, seconds=seconds)
    except PluginError:  # training will say it, in a folder that keeps the log
        return
    emit(Notice("needs", str(needs), "info"))


def measured_needs(context: RunContext, kind: RunKind, runs: Path) -> Needs | None:
    """Return what a run needs without its time; None if its kind does not tell.

    Raises:
        ResourceError: there is too little memory; the message says what to change.
        StorageError: there is too little room on the disk.
        PluginError: a part of a plugin fails.
    """
    found = kind.trial_training(context, _FEW)
    return None if found is None else _checked_needs(context, kind, *found, runs)


def _checked_needs(
    context: RunContext, kind: RunKind, job: TrainingJob, n: int, runs: Path
) -> Needs:
    needs = _needs(context, kind, job, n)
    _check_memory(needs, context)
    _check_disk(needs.disk, runs)
    return needs


def _needs(context: RunContext, kind: RunKind, job: TrainingJob, n: int) -> Needs:
    """Return what a run needs without its time; ``n`` is the number of training images."""
    train, test = context.images("train"), context.images("test")
    on_gpu = context.device.type == "cuda"
    weights = sum(one.nbytes for one in (*job.model.parameters(), *job.model.buffers()))
    trained = sum(one.nbytes for one in job.model.parameters() if one.requires_grad)
    # Adam's two averages, and copies of the weights.
    copies = 2 + bool(job.options.ema_decay) + (job.options.keep == "best")
    saved = weights + trained * copies
    copied = 0 if isinstance(train.images, np.memmap) else train.images.nbytes
    training = saving = 0
    if job.epochs:
        # Besides the weights and their gradients, convolutions keep the weights in another order.
        training = saved + weights + trained + _bytes_of_step(job, min(_batch_size(job), n))
        training += (copied + test.images.nbytes * bool(copied)) * on_gpu
        saving = 2 * saved  # as tensors and as a file
    latent_dim = int(getattr(context.random_model(), "latent_dim", 0))
    images = len(train) + len(test)
    others = max(4 * images * latent_dim, kind.memory_after_training(context, latent_dim))
    in_training = copied + saving + training * (not on_gpu)
    more = max(in_training, copied + others, _DRAWING)
    return Needs(
        memory=psutil.Process().memory_info().rss + more,
        training=training if on_gpu else in_training,
        others=copied + others,
        disk=min(_KEPT, job.epochs) * saved
        + (1 + len(job.options.snapshots)) * weights
        + images * (4 * latent_dim + _BYTES_OF_IMAGE)
        + _REPORT
        + _bytes_of_explorer(context, weights, len(test), latent_dim),
        cached=_bytes_in_cache(context),
        epochs=job.epochs,
    )


def _bytes_of_explorer(context: RunContext, weights: int, n_test: int, latent_dim: int) -> int:
    """Return about how many bytes the explorer page takes: images, latents, maps and decoder."""
    tile = min(_TILE, math.prod(context.image_shape))
    return min(_EXPLORER, weights + n_test * (tile // 5 + 6 * latent_dim + _BYTES_OF_IMAGE))


def _batch_size(job: TrainingJob) -> int:
    return int(job.options.batch_size)


def _bytes_of_step(job: TrainingJob, batch: int) -> int:
    """Return the bytes that a step of ``batch`` images adds to weights and optimiser.

    They grow with the number of images from a fixed part, so two small steps give both.
    """
    most = len(job.train)
    whole, largest = _kept_bytes(job, most)
    half = max(1, most // 2)
    fixed = 0
    each = whole / most
    if half < most:
        part, _ = _kept_bytes(job, half)
        each = max(0.0, (whole - part) / (most - half))
        fixed = max(0, round(whole - each * most))
    # Backward, the gradients of two neighbouring layers are there at once.
    per_image = each + 2 * largest / most + 4 * job.train.values_of_image
    return fixed + round(batch * per_image)


def _kept_bytes(job: TrainingJob, count: int) -> tuple[int, int]:
    """Return the bytes that a forward pass of ``count`` images keeps, and those of its largest."""
    weights = (*job.model.parameters(), *job.model.buffers())
    own = {one.untyped_storage().data_ptr() for one in weights}
    kept: dict[int, int] = {}
    largest = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal largest
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            largest = max(largest, tensor.nbytes)
        return tensor

    inputs, targets = _batch(job, torch.arange(count, device=job.train.device))
    _begin(job)
    mixed = job.precision == "bfloat16"
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(inputs.device.type, torch.bfloat16, enabled=mixed),
    ):
        terms = loss_terms(job.model, inputs, targets, job.warm_up_steps)
    del terms  # until here, no memory that was kept is given to another tensor
    return sum(kept.values()), largest


def _batch(job: TrainingJob, index: Tensor) -> tuple[Tensor, Tensor]:
    images = job.train.batch(index)
    if job.augmentation is not None:
        images = job.augmentation(images, noise_generator(job.train.device, job.seed, "needs"))
    noise = noise_generator(job.train.device, job.seed, "needs")
    return job.corruption(images, noise), job.train.targets(index, images)


def _begin(job: TrainingJob) -> None:
    """Put the model into the mode of its last epoch, in which all that ever trains does."""
    if provides(job.model, Staged):
        job.model.begin_epoch(job.epochs)
    job.model.train()


def seconds_of_epoch(job: TrainingJob, n: int, validation: int, most: int, limit: float) -> float:
    """Return the time of an epoch of ``n`` training and of ``validation`` images.

    The first steps set up what later ones use, so only the second half counts.

    Args:
        job: the training, with a new model.
        n: number of training images.
        validation: number of validation images.
        most: most steps that are measured.
        limit: seconds after which no step is begun.
    """
    state = TrainingState(job.model, job.options, job.train.device)
    total = job.epochs * job.steps_per_epoch
    steps = Steps(state, job.options, job.precision, job.train.device, lambda event: None, total)
    _begin(job)
    steps.begin_epoch()
    batch = min(_batch_size(job), len(job.train))
    times: list[float] = []
    for index in islice(_indices(job, batch), most):
        started = time.perf_counter()
        terms = steps.take(*_batch(job, index), job.warm_up_steps)
        float(terms["loss"])  # waits for the device
        times.append(time.perf_counter() - started)
        if sum(times) > limit:
            break
    step = float(np.median(times[(len(times) + 1) // 2 :] or times))
    return step * (n + _VALIDATION * validation) / batch


def _indices(job: TrainingJob, batch: int) -> Iterator[Tensor]:
    order = epoch_order(len(job.train), job.seed, 0, job.train.device)
    return (one for one in torch.split(order, batch) if len(one) == batch)


def image_fault(images: ImageData) -> str:
    """Return a line if all of at most 1,000 images are nearly black or constant, else nothing."""
    most = min(_LOOKED_AT, max(1, _MOST_VALUES // math.prod(images.image_shape)))
    few = spread_rows(np.arange(len(images)), most)
    pixels = images.images[few].reshape(len(few), -1)
    said = f"{len(few):,} training images" if len(few) < len(images) else "the training images"
    brightest, white = int(pixels.max()), np.iinfo(pixels.dtype).max
    if (pixels.min(1) == pixels.max(1)).all():
        return f"each of {said} has one value only: nothing can be learned from constant images"
    if pixels.dtype == np.uint8 and brightest < _DARK:
        return (
            f"the brightest pixel of {said} is {brightest} of {white}, so they are nearly black: "
            f"scale their values to 0..{white}"
        )
    return ""


def _check_memory(needs: Needs, context: RunContext) -> None:
    free = host = available_memory_bytes()
    where = ""
    if context.device.type == "cuda":
        free, where = torch.cuda.mem_get_info(context.device)[0], " on the GPU"
    if needs.training > free:
        batch = context.config.training.batch_size
        raise ResourceError(
            f"training needs about {size_text(needs.training)} of memory{where}, and "
            f"{size_text(free)} are free: lower training.batch_size (now {batch}), or choose "
            f"smaller images or a smaller model"
        )
    if needs.others > host:
        raise ResourceError(
            f"maps and card need about {size_text(needs.others)} of memory, and "
            f"{size_text(host)} are free: leave maps out, choose smaller or fewer images, or end "
            f"other programs"
        )


def _check_disk(size: int, runs: Path) -> None:
    runs = runs.absolute()
    there = next(path for path in (runs, *runs.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise StorageError(
            f"the run needs about {size_text(size)} of disk, and {runs} has room for "
            f"{size_text(free)}: make room, or choose another folder with --runs"
        )


def _bytes_in_cache(context: RunContext) -> int:
    folder = cache_folder()
    found = 0
    for split in ("train", "test"):
        images = context.images(split).images
        name = getattr(images, "filename", None)
        if name is not None and folder in Path(name).parents:
            found += images.nbytes
    return found


def size_text(count: float) -> str:
    """Return a number of bytes as text, in decimal units."""
    megabytes = count / 1e6
    if megabytes < 999.5:
        return f"{max(1, megabytes):.0f} MB"
    return f"{megabytes / 1e3:,.1f} GB"


def duration_text(seconds: float) -> str:
    """Return a time as text, in the unit that a person would choose."""
    if seconds < 1.5:
        return "1 second"
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:,.1f} hours"
