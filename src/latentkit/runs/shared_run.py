"""A run that several processes share: process 0 leads, and the others follow its orders.

Process 0 executes the run as one process would, and owns its folder. Before its stages, it tells
the others what the run is, and waits until each has the same images and the same versions. Then a
stage that is shared gives its order and does its part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config
from latentkit.errors import BrokenEnvironmentError, DataError, UserError
from latentkit.plugin.events import Listener, Notice
from latentkit.reading import parse_toml
from latentkit.registry.catalogue import Registry
from latentkit.runs import run_files, saved_config
from latentkit.runs.context import RunContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import RunKind, SharedWork
from latentkit.runs.stages import package_versions, plugin_versions
from latentkit.training.device import repeatable, resolve_device
from latentkit.training.processes import Processes, current

_BEGIN = "begin"


def share_run(context: RunContext, kind: RunKind, emit: Listener) -> None:
    """Tell the other processes what the run is, and wait until they are ready; if there are any.

    Args:
        context: the run, with its configuration resolved.
        kind: its kind.
        emit: receives a notice of where the processes are.

    Raises:
        UserError: the run cannot be shared by so many processes.
        LatentkitError: a process cannot take part; the message names it.
    """
    processes = current()
    if processes is None:
        return
    _check_shareable(context, kind, processes)
    processes.order(
        _BEGIN,
        config=context.config.to_toml(),
        data_dir=str(context.data_dir),
        digests={split: context.images(split).digest() for split in ("train", "test")},
        **_installed(context.registry),
    )
    for rank in range(1, processes.count):
        processes.heard("ready", rank)
    hosts = Counter(processes.host(rank) for rank in range(processes.count))
    where = ", ".join(f"{count} on {host}" for host, count in hosts.items())
    shared = f"{processes.count} processes share training, encoding and the card ({where})"
    emit(Notice("processes", shared, "info"))


def _check_shareable(context: RunContext, kind: RunKind, processes: Processes) -> None:
    if not kind.shared_work(context):
        raise UserError(f"a run of kind {kind.name} is computed by one process: use --processes 1")
    training, images = context.config.training, len(context.split.train)
    least = min(int(training.batch_size), images)
    if training.epochs and least < processes.count:
        name = "training.batch_size" if least < images else "the number of training images"
        raise UserError(
            f"{name} is {least}, fewer than the {processes.count} processes: use at most "
            f"{_counted(least)}, or larger batches"
        )


def record_processes(folder: RunFolder, emit: Listener) -> None:
    """Record by how many processes a run is trained, and say if it was another number before."""
    processes = current()
    now = 1 if processes is None else processes.count
    begun = any((folder.path / run_files.CHECKPOINTS).glob("*.json"))
    known = folder.manifest.processes or [1] * begun
    if known[-1:] == [now]:
        return
    if known:
        emit(
            Notice(
                "other-processes",
                f"training was begun by {_counted(known[-1])} and continues with {_counted(now)}: "
                f"the result may differ in the last digits from that of an uninterrupted run",
            )
        )
    folder.manifest.processes = [*known, now]
    folder.manifest.write(folder.path)


def _counted(processes: int) -> str:
    return f"{processes} processes" if processes > 1 else "1 process"


def _installed(registry: Registry) -> dict[str, Any]:
    """Return the versions of what computes, and the SHA-256 of each plugin file by its name."""
    files = {
        Path(path).name: sha256 for path, sha256 in saved_config.plugin_files(registry).items()
    }
    return {
        "versions": package_versions(),
        "plugins": plugin_versions(registry),
        "plugin files": files,
    }


def follow(
    processes: Processes,
    registry: Registry,
    data: Path | None,
    kind_of_config: Callable[[RunConfig], RunKind],
) -> None:
    """Do what process 0 orders, until it dismisses this process. Nothing is written or printed.

    Args:
        processes: this process and the others.
        registry: where names are looked up.
        data: this machine's folder of data sets; None for the path of process 0.
        kind_of_config: returns the kind of run that a configuration describes.

    Raises:
        LatentkitError: this process cannot take part, or process 0 is gone.
    """
    work: Mapping[str, SharedWork] = {}
    context: RunContext | None = None
    for order in processes.orders():
        if context is None or order["do"] == _BEGIN:
            context = _context(order, registry, data)
            work = kind_of_config(context.config).shared_work(context)
            processes.say("ready", True)
            continue
        with repeatable(context.device, context.config.run.threads):
            work[order["do"]](processes)


def _context(order: Mapping[str, Any], registry: Registry, data: Path | None) -> RunContext:
    """Return the context of the run that process 0 leads, with the same images.

    Raises:
        BrokenEnvironmentError: this machine has other versions or plugins.
        DataError: it has other images.
    """
    _check_installed(order, _installed(registry))
    config = build_config(parse_toml(order["config"].encode(), "config.toml"), registry)
    folder = data or Path(order["data_dir"])
    context = RunContext(config, registry, folder, resolve_device(config.run.device))
    for split in ("train", "test"):
        if context.images(split).digest() != order["digests"][split]:
            raise DataError(
                f"the {split} images of {config.dataset.name!r} in {folder} are not those of "
                f"process 0: copy its data set, or name another folder with --data-dir"
            )
    return context


def _check_installed(there: Mapping[str, Any], here: Mapping[str, Mapping[str, str]]) -> None:
    for what, own in here.items():
        for name in sorted({*there[what], *own}):
            wanted, found = there[what].get(name, "missing"), own.get(name, "missing")
            if wanted != found:
                raise BrokenEnvironmentError(
                    f"{name} is {found[:16]}, but {wanted[:16]} in process 0 ({what}): install the "
                    f"same on all machines"
                )
