"""Execution of a run's stages, with events for its start and end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from latentkit.config import RunConfig
from latentkit.pipeline.context import RunContext, Workshop
from latentkit.pipeline.stages import Stage, run_stages
from latentkit.pipeline.summary import summarise
from latentkit.plugin.events import (
    EpochFinished,
    Event,
    Listener,
    Notice,
    RunFinished,
    RunInfo,
    RunStarted,
    fan_out,
)
from latentkit.plugin.studies import TrialPruned
from latentkit.registry.catalogue import Registry
from latentkit.runs.folder import RunFolder
from latentkit.training.device import repeatable
from latentkit.tuning.info import trial_of
from latentkit.tuning.ranges import option_of

Plan = Callable[[RunConfig], list[Stage]]
"""Function that returns the stages of a configuration."""


def execute(
    folder: RunFolder,
    workshop: Workshop,
    tell: Listener,
    stages: Plan,
    *,
    resumed: bool,
    afresh: Collection[str] = (),
) -> None:
    """Execute the stages that are not current, and record the outcome in the status and log.

    Args:
        folder: the run's folder, locked for writing.
        workshop: loads what the configuration names.
        tell: receives progress events.
        stages: returns the stages of the configuration.
        resumed: whether the run was started before.
        afresh: names of stages that are executed again even if they are current.

    Raises:
        LatentkitError: a stage failed; the run is marked as failed.
        KeyboardInterrupt: the run is marked as interrupted.
        TrialPruned: a tuner stopped the trial; the run is marked as pruned.
    """
    config, registry = workshop.config, workshop.registry
    info = _info(folder, config, resumed)
    tell = fan_out(_log(folder), tell)
    notify = notifier(registry, tell)
    tell = fan_out(tell, _lifecycle(info, notify))
    started = time.perf_counter()
    planned = stages(config)
    names = tuple(stage.name for stage in planned)
    notify("latentkit_run_started", run=info)
    tell(RunStarted(folder.manifest.id, str(folder.path), names, resumed))
    status, summary = "failed", {}
    try:
        context = RunContext(
            config, registry, workshop.data_dir, workshop.device, folder, tell, workshop.shelf
        )
        with repeatable(workshop.device, config.run.threads):
            run_stages(planned, context, afresh)
        status = "finished"
        folder.set_status("finished")
        summary = summarise(folder)
    except KeyboardInterrupt:
        status = "interrupted"
        folder.set_status("interrupted")
        raise
    except TrialPruned as given_up:
        status = "pruned"
        folder.set_status("pruned", str(given_up))
        raise
    except Exception as error:
        folder.set_status("failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        why = " ".join(folder.manifest.error.split())
        ended = {"status": status, "summary": summary, "error": why}
        notify("latentkit_run_finished", run=info, **ended)
        tell(RunFinished(info.id, status, time.perf_counter() - started, summary))


def _info(folder: RunFolder, config: RunConfig, resumed: bool) -> RunInfo:
    return RunInfo(
        folder.manifest.id,
        folder.path,
        config.as_dict(),
        resumed,
        trial_of(folder.path, partial(option_of, config)),
        config.identity_sha256(),
        folder.manifest.versions,
    )


def _log(folder: RunFolder) -> Listener:
    def write(event: Event) -> None:
        if not event.transient:
            record = {"time": time.time(), **event.as_dict()}
            folder.append_event(json.dumps(record, allow_nan=False, default=str))

    return write


def _lifecycle(info: RunInfo, notify: Callable[..., None]) -> Listener:
    def forward(event: Event) -> None:
        if isinstance(event, EpochFinished):
            notify("latentkit_epoch_finished", run=info, epoch=event)

    return forward


def notifier(registry: Registry, tell: Listener) -> Callable[..., None]:
    """Return a function that calls a lifecycle hook of every plugin.

    The first time that a plugin's hook fails, a notice reports it; later failures are silent.
    """
    told: set[str] = set()

    def notify(hook: str, **arguments: Any) -> None:
        for where, fault in registry.notify(hook, **arguments).items():
            if where not in told:  # once, and not after every epoch
                told.add(where)
                tell(Notice("plugin-failed", f"{where}: {fault}"))

    return notify
