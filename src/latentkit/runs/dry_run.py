"""What a run would need and how long it would take, from a rehearsal of all its stages.

The rehearsal is a run of no epochs, on the real images, in a temporary folder: it encodes, maps,
measures and reports what an untrained model gives, which takes the time that a trained one's does.
An epoch's time is that of some real steps. So what would fail after hours of training fails here.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from latentkit.config import RunConfig
from latentkit.errors import UserError
from latentkit.plugin.events import Listener, StageFinished, StageProgress, StageStarted
from latentkit.registry.catalogue import Registry
from latentkit.runs.context import RunContext, StageContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import RunKind
from latentkit.runs.needs import duration_text, measured_needs, seconds_of_epoch, size_text
from latentkit.runs.prepare import prepare
from latentkit.runs.saved_config import run_facts
from latentkit.runs.stages import run_stages
from latentkit.training.device import peak_rss_bytes, repeatable
from latentkit.training.loop import TrainingJob, start_from_images

_STEPS = 40  # most steps that are measured
_SECONDS = 4.0  # the time after which no step is begun
_IMAGES = 10_000  # from which some models start
_MESSAGE = {"cpu": 0.7e-3, "cuda": 30e-6}  # seconds of a small message, docs/scale.md
_BYTES = {"cpu": 2.5e9, "cuda": 100e9}  # sent a second, docs/scale.md


@dataclass(frozen=True)
class DryRun:
    """What a run would need.

    Args:
        memory: bytes of the process at its largest.
        disk: bytes of the run's folder.
        cached: bytes of decoded images in the cache, besides.
        epochs: number of epochs.
        epoch_seconds: time of an epoch.
        stage_seconds: time of each stage, with all epochs in ``train``; ``start`` is what comes
            before the first one.
        processes: seconds of an epoch by the number of processes that share the run.
    """

    memory: int
    disk: int
    cached: int
    epochs: int
    epoch_seconds: float
    stage_seconds: dict[str, float]
    processes: dict[int, float]

    @property
    def seconds(self) -> float:
        """Time of the whole run."""
        return sum(self.stage_seconds.values())

    def rows(self) -> list[tuple[str, str]]:
        """Return everything as rows of name and text."""
        disk = size_text(self.disk)
        if self.cached:
            disk += f", beside {size_text(self.cached)} of decoded images"
        rows = [("Memory", size_text(self.memory)), ("Disk", disk)]
        if self.epochs:
            epochs = f"{self.epochs} epochs" if self.epochs > 1 else "1 epoch"
            rows.append(("Training", f"{duration_text(self.epoch_seconds)} an epoch, {epochs}"))
        rows += [
            (f"Stage {name}", duration_text(seconds))
            for name, seconds in self.stage_seconds.items()
        ]
        rows.append(("Whole run", duration_text(self.seconds)))
        for count, seconds in self.processes.items():
            text = f"{duration_text(seconds)} an epoch, {self.epoch_seconds / seconds:.2f} times"
            rows.append((f"{count} processes", f"{text} the speed of one (predicted)"))
        return rows

    def document(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {**asdict(self), "seconds": self.seconds}


def dry_run(
    config: RunConfig,
    registry: Registry,
    data: Path,
    runs: Path,
    emit: Listener,
    kind: RunKind,
    processes: Sequence[int] = (),
    began: float | None = None,
) -> DryRun:
    """Return what a run would need, without making its folder.

    Args:
        config: the run's configuration.
        registry: where names are looked up.
        data: the folder of data sets.
        runs: the folder of runs.
        emit: receives the progress of the rehearsal.
        kind: the kind of run.
        processes: numbers of processes whose time is predicted.
        began: when the command began, as `time.time` gives it; None for now.

    Raises:
        LatentkitError: the run would fail.
    """
    began = began or time.time()
    context = prepare(config, registry, data, kind, runs=runs)
    threads = context.config.run.threads
    with repeatable(context.device, threads):
        needs = measured_needs(context, kind, runs)
        if needs is None:
            raise UserError(f"there is no dry run of kind {kind.name}: leave out --dry-run")
        before = {"start": time.time() - began}
        rehearsed, disk, memory = _rehearsed(context, kind, emit)
        stages = {**before, **rehearsed}
        epoch, shared = 0.0, {}
        found = kind.trial_training(context, max(_IMAGES, (_STEPS + 1) * _batch_size(context)))
        if found is not None and found[0].epochs:
            job, n = found
            emit(StageProgress("train", 0, 1, "measuring some steps"))
            stages["train"] += _seconds_to_start(job)
            validation = len(context.split.validation)
            epoch = seconds_of_epoch(job, n, validation, _STEPS, _SECONDS)
            stages["train"] += job.epochs * epoch
            shared = {
                # On a busy machine, a share may seem to need less than its part of the time.
                count: max(_shared_seconds(job, n, validation, count, threads), epoch / count)
                for count in processes
                if count > 1
            }
    return DryRun(
        memory=max(needs.memory, memory),
        disk=max(needs.disk, disk),
        cached=needs.cached,
        epochs=needs.epochs,
        epoch_seconds=epoch,
        stage_seconds=stages,
        processes=shared,
    )


def _batch_size(context: RunContext) -> int:
    size = context.config.training.batch_size
    return size if isinstance(size, int) else 1


def _rehearsed(
    context: RunContext, kind: RunKind, emit: Listener
) -> tuple[dict[str, float], int, int]:
    """Execute all stages without an epoch; return their seconds, and bytes of disk and memory."""
    config = context.config
    untrained = config.training.model_copy(update={"epochs": 0, "snapshots": ()})
    context.config = replace(config, training=untrained)
    seconds: dict[str, float] = {}

    def note(event: Any) -> None:
        if isinstance(event, StageFinished):
            seconds[event.stage] = event.seconds
        if isinstance(event, StageStarted | StageProgress | StageFinished):
            emit(event)

    try:
        with tempfile.TemporaryDirectory(prefix="latentkit-dry-run-") as place:
            path = Path(place) / "run"
            facts = run_facts(context)
            with RunFolder.creating(path, context.config.to_toml(), **facts) as folder:
                stage_context = StageContext(
                    context.config,
                    context.registry,
                    context.data_dir,
                    context.device,
                    folder,
                    note,
                    context.image_cache,
                )
                run_stages(kind.plan(context.config), stage_context)
            disk = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    finally:
        context.config = config
    return seconds, disk, peak_rss_bytes()


def _seconds_to_start(job: TrainingJob) -> float:
    """Return the time in which the model starts from images, if it does that."""
    started = time.perf_counter()
    start_from_images(job)
    return time.perf_counter() - started


def _shared_seconds(job: TrainingJob, n: int, validation: int, count: int, threads: int) -> float:
    """Predict the time of an epoch that ``count`` processes of this machine share.

    Measured is a step of a process's share of the batch, with its share of the threads. Added is
    what is sent: the gradients, and two small messages for each layer of batch normalisation.
    """
    batch = int(job.options.batch_size)
    part = max(1, batch // count)
    fewer = job.options.model_copy(update={"batch_size": part})
    on_cpu = job.train.device.type == "cpu"
    with repeatable(job.train.device, max(1, threads // count) if on_cpu else threads):
        own = seconds_of_epoch(replace(job, options=fewer), part, 0, _STEPS, _SECONDS / 2)
    return (own + message_seconds(job.model, count, job.train.device)) * (n / batch) + (
        own / 3 * validation / batch
    )


def message_seconds(model: nn.Module, count: int, device: torch.device) -> float:
    """Return the time of a step's messages among ``count`` processes, without any overlap."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    values = sum(one.numel() for one in model.parameters() if one.requires_grad)
    norms = sum(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in model.modules())
    sent = 2 * (count - 1) / count * 4 * values
    return sent / _BYTES[kind] + (2 * norms + 1) * _MESSAGE[kind]
