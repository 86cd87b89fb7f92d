"""Stages: what each one reads, whether it is current, and execution of those that are not."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from latentkit._version import __version__
from latentkit.errors import UserError, leaving_out
from latentkit.plugin.events import Listener, Notice, StageFinished, StageSkipped, StageStarted
from latentkit.registry.catalogue import Registry
from latentkit.runs.context import StageContext
from latentkit.runs.folder import LEFT_OUT, RunFolder
from latentkit.runs.manifest import LeftOut, StageRecord
from latentkit.terminal import shell_command
from latentkit.training.device import peak_rss_bytes

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "safetensors")


def package_versions(names: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Return the versions of latentkit, Python and the packages that compute a run's numbers."""
    found = {"latentkit": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def hardware(device: str, threads: int) -> dict[str, Any]:
    """Return the system, processor, memory in bytes, and the device and threads in use."""
    facts = {
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "device": device,
        "threads": threads,
    }
    if device.startswith("cuda"):
        import torch

        facts["device_name"] = torch.cuda.get_device_name(device)
    return facts


def plugin_versions(registry: Registry) -> dict[str, str]:
    """Return the version of each distribution whose plugins are loaded."""
    return {plugin.found.distribution: plugin.found.version for plugin in registry.plugins}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Args:
        name: unique in the run.
        work: executes the stage, and commits artefacts under the stage's name.
        reads: artefacts of earlier stages that the stage depends on.
        settings: text or hash of options that the stage depends on besides the run's identity.
        uses: artefacts of optional stages, which the stage depends on if they exist.
        optional: the user's name for the stage's result, such as ``map isomap``, if a run is
            finished without it; empty if the stage is needed.
        again: words of the command that makes an optional result, without the run.
        same: whether the stage checks that lost files are made again as they were.
        keeps: the stage of files that belong to this one, but stay when it is executed again.
    """

    name: str
    work: Callable[[StageContext], None]
    reads: Sequence[str] = ()
    settings: str = ""
    uses: Sequence[str] = ()
    optional: str = ""
    again: tuple[str, ...] = ()
    same: bool = False
    keeps: str = ""


def run_stages(
    stages: Iterable[Stage],
    context: StageContext,
    force: Collection[str] = (),
    *,
    needed: Collection[str] = (),
    retry: bool = True,
) -> None:
    """Execute every stage that is not current, in order, and record each one when it ends.

    Earlier artefacts of a stage are kept until the stage commits new ones, so a stage that fails
    before that loses nothing. An optional stage that fails is left out: its artefacts leave the
    manifest, which records the reason, and the other stages follow. While it is executed, it counts
    as left out, because the system may kill the process for the memory that the stage takes.

    Args:
        stages: the run's plan.
        context: the run.
        force: names of stages that are executed even if they are current.
        needed: names of optional stages whose failure is an error.
        retry: whether stages that were left out before are tried again.
    """
    left_out = context.folder.manifest.left_out
    for stage in stages:
        if stage.name not in force and is_current(stage, context.folder):
            context.emit(StageSkipped(stage.name))
        elif stage.name in {*force, *needed} or not stage.optional:
            _execute(stage, context)
        elif retry or stage.name not in left_out:
            _record_left_out(stage, context.folder, UNENDED)
            _try(stage, context)
        else:
            _notice_left_out(stage, context)


def _try(stage: Stage, context: StageContext) -> None:
    """Execute an optional stage, or leave its result out."""
    again = [stage.again]
    with leaving_out(lambda why: _leave_out(replace(stage, again=again[0]), context, why)):
        try:
            _execute(stage, context)
        except UserError:
            # It comes again until something else is changed, which its message says. What the stage
            # reads may be made, and then the command helps.
            if not _lacking(stage, context.folder):
                again[0] = ()
            raise


def _execute(stage: Stage, context: StageContext) -> None:
    folder = context.folder
    lost = _lost_results(stage, folder)
    if not (stage.same or _is_whole(stage, folder)):
        folder.forget_stage(stage.name)
    context.emit(StageStarted(stage.name))
    started = time.perf_counter()
    if lacking := _lacking(stage, folder):
        raise UserError(f"it needs {lacking[0]}, which this run does not have")
    with warnings_told(context.emit), folder.reading_once():
        stage.work(context)
    seconds = time.perf_counter() - started
    folder.manifest.left_out.pop(stage.name, None)
    record = StageRecord(inputs=_inputs(stage, folder), seconds=seconds, settings=stage.settings)
    folder.finish_stage(stage.name, record)
    now = folder.manifest.artefacts
    changed = [path for path, sha in lost.items() if path not in now or now[path].sha256 != sha]
    if changed:
        context.emit(
            Notice(
                "made-otherwise",
                f"files of stage {stage.name} were missing, and what was made in their place "
                f"differs: {', '.join(changed)}; without its checkpoints, training that was "
                f"extended, or interrupted under other versions, cannot be repeated exactly",
            )
        )
    context.emit(StageFinished(stage.name, seconds, peak_rss_bytes()))


def _lost_results(stage: Stage, folder: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of a stage's arrays, if it is only executed because files are missing."""
    record = folder.manifest.stages.get(stage.name)
    if record is None or record.settings != stage.settings or _lacking(stage, folder):
        return {}
    if record.inputs != _inputs(stage, folder) or _is_whole(stage, folder):
        return {}
    artefacts = folder.manifest.artefacts.items()
    return {
        path: artefact.sha256
        for path, artefact in artefacts
        if artefact.stage == stage.name and path.endswith((".safetensors", ".npz"))
    }


def _lacking(stage: Stage, folder: RunFolder) -> list[str]:
    return [path for path in stage.reads if path not in folder.manifest.artefacts]


UNENDED = "it was started, but did not end"
"""Why a part is left out whose stage was interrupted or killed, or is being executed."""


def _leave_out(stage: Stage, context: StageContext, why: str) -> None:
    """Record why an optional stage has no result, and tell the user which command repairs it."""
    context.folder.forget_stage(stage.name)
    _record_left_out(stage, context.folder, why)
    _notice_left_out(stage, context)


def _record_left_out(stage: Stage, folder: RunFolder, why: str) -> None:
    manifest = folder.manifest
    if stage.name not in manifest.stages:  # the stage may have committed some of its files
        kept = {k: a for k, a in manifest.artefacts.items() if a.stage != stage.name}
        manifest.artefacts = kept
    manifest.left_out[stage.name] = LeftOut(part=stage.optional, why=why, again=stage.again)
    manifest.write(folder.path)


def _notice_left_out(stage: Stage, context: StageContext) -> None:
    one = context.folder.manifest.left_out[stage.name]
    command = again_command(context.folder, one)
    again = f"; {command} tries again" if command else ""
    context.emit(Notice("left-out", f"{one.part} is left out: {one.why}{again}"))


def again_command(folder: RunFolder, left_out: LeftOut) -> str:
    """Return the command that tries to make a left-out part again; empty if it would only fail."""
    if not left_out.again:
        return ""
    command, *words = left_out.again
    return shell_command(command, folder.path, *words)


def is_current(stage: Stage, folder: RunFolder) -> bool:
    """Return whether a stage is committed and was made from the artefacts that exist now.

    A missing file makes the stage out of date. A changed file is an error, because executing
    the stage again would overwrite the user's changes.

    Raises:
        IntegrityError: a file of the stage was changed.
    """
    record = folder.manifest.stages.get(stage.name)
    if record is None or record.settings != stage.settings:
        return False
    if any(path not in folder.manifest.artefacts for path in stage.reads):
        return False
    if record.inputs != _inputs(stage, folder):
        return False
    if not _is_whole(stage, folder):
        return False
    for path in _artefacts_of(stage, folder):
        folder.verified(path)
    return True


def _inputs(stage: Stage, folder: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of each artefact that a stage depends on.

    A stage that uses optional results also depends on why one of them was left out.
    """
    artefacts, left_out = folder.manifest.artefacts, folder.manifest.left_out
    found = {path: artefacts[path].sha256 for path in stage.reads}
    if stage.uses:
        found |= {path: artefacts[path].sha256 for path in stage.uses if path in artefacts}
        others = (name for name in left_out if name != stage.name)
        found |= {name: f"{LEFT_OUT}{left_out[name].why}" for name in others}
    return found


def _is_whole(stage: Stage, folder: RunFolder) -> bool:
    return all((folder.path / path).exists() for path in _artefacts_of(stage, folder))


def _artefacts_of(stage: Stage, folder: RunFolder) -> list[str]:
    artefacts = folder.manifest.artefacts.items()
    return [path for path, artefact in artefacts if artefact.stage in (stage.name, stage.keeps)]


@contextmanager
def warnings_told(emit: Listener) -> Iterator[None]:
    """Report Python warnings of libraries as notices, each text once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        # Other code's open files may be collected during a stage.
        warnings.simplefilter("ignore", ResourceWarning)
        yield
    for text in dict.fromkeys(" ".join(str(item.message).split()) for item in caught):
        emit(Notice("library-warning", text))
