"""Stages: what each one reads, whether it is current, and execution of those that are not."""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from latentkit._version import __version__
from latentkit.plugin.events import Listener, Notice, StageFinished, StageSkipped, StageStarted
from latentkit.registry.catalogue import Registry
from latentkit.runs.context import StageContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import StageRecord

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


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # not on Windows
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, else KiB
    return peak if sys.platform == "darwin" else peak * 1024


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
    """

    name: str
    work: Callable[[StageContext], None]
    reads: Sequence[str] = ()
    settings: str = ""


def run_stages(stages: Iterable[Stage], context: StageContext, force: Collection[str] = ()) -> None:
    """Execute every stage that is not current, in order, and record each one when it ends.

    Earlier artefacts of a stage are kept until the stage commits new ones, so a stage that fails
    before that loses nothing. Stages named in ``force`` are executed even if they are current.
    """
    for stage in stages:
        if stage.name not in force and is_current(stage, context.folder):
            context.emit(StageSkipped(stage.name))
            continue
        if not _is_whole(stage, context.folder):
            context.folder.forget_stage(stage.name)
        context.emit(StageStarted(stage.name))
        started = time.perf_counter()
        with warnings_told(context.emit), context.folder.reading_once():
            stage.work(context)
        seconds = time.perf_counter() - started
        inputs = {path: context.folder.manifest.artefacts[path].sha256 for path in stage.reads}
        record = StageRecord(inputs=inputs, seconds=seconds, settings=stage.settings)
        context.folder.finish_stage(stage.name, record)
        context.emit(StageFinished(stage.name, seconds, peak_rss_bytes()))


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
    artefacts = folder.manifest.artefacts
    if any(p not in artefacts or artefacts[p].sha256 != record.inputs.get(p) for p in stage.reads):
        return False
    if not _is_whole(stage, folder):
        return False
    for path in _artefacts_of(stage, folder):
        folder.verified(path)
    return True


def _is_whole(stage: Stage, folder: RunFolder) -> bool:
    return all((folder.path / path).exists() for path in _artefacts_of(stage, folder))


def _artefacts_of(stage: Stage, folder: RunFolder) -> list[str]:
    artefacts = folder.manifest.artefacts.items()
    return [path for path, artefact in artefacts if artefact.stage == stage.name]


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
