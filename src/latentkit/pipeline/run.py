"""Start a run, finish one, add maps to one."""

from __future__ import annotations

import json
import math
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config, canonical_sha256, choose_map, find_part
from latentkit.errors import IntegrityError, UserError
from latentkit.pipeline.context import RunContext, Workshop
from latentkit.pipeline.environment import hardware, package_versions, plugin_versions
from latentkit.pipeline.stages import Stage, run_stages
from latentkit.pipeline.summary import summarise
from latentkit.pipeline.work import plan
from latentkit.plugin.events import (
    EpochFinished,
    Event,
    Listener,
    Notice,
    RunFinished,
    RunInfo,
    RunPreparing,
    RunStarted,
    fan_out,
)
from latentkit.plugin.protocols import TrialPruned
from latentkit.registry.catalogue import Registry
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG, RunFolder
from latentkit.training.device import (
    repeatable,
    resolve_device,
    resolve_precision,
    resolve_threads,
)
from latentkit.training.loop import steps_per_epoch

_TYPICAL_EPOCHS, _MOST_EPOCHS, _ENOUGH_STEPS = 10, 50, 2000
_TYPICAL_BATCH, _LEAST_BATCH, _ENOUGH_BATCHES = 256, 32, 32


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Args:
        runs: the folder in which runs are made.
        data: the folder of data sets.
    """

    runs: Path
    data: Path


Plan = Callable[[RunConfig], list[Stage]]
"""Which stages a configuration asks for."""


def start_run(
    config: RunConfig,
    registry: Registry,
    place: Place,
    tell: Listener,
    stages: Plan = plan,
) -> RunFolder:
    """Make a run's folder and do its stages.

    Whatever can be found wrong is found before the folder is made.

    Raises:
        LatentkitError: of every kind; the folder, once made, keeps what was committed.
        KeyboardInterrupt: the run is marked as interrupted and can be resumed.
    """
    tell(RunPreparing(tuple(stage.name for stage in stages(config))))
    config, workshop = prepare(config, registry, place.data)
    facts = {
        "config": config.identity(),
        "config_sha256": config.identity_sha256(),
        "seed": config.run.seed,
        "data_dir": str(place.data),
        "versions": package_versions(),
        "hardware": hardware(config.run.device, config.run.threads),
        "plugins": plugin_versions(registry),
    }
    label = f"{config.model.slug}-{config.dataset.slug}"
    folder = RunFolder.create(place.runs, label, config.to_toml(), **facts)
    with folder.writing():
        _execute(folder, workshop, tell, stages, resumed=False)
    return folder


def resume_run(
    path: Path,
    registry: Registry,
    tell: Listener,
    data_dir: Path | None = None,
    stages: Plan = plan,
    overrides: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Do what is missing of a run.

    Args:
        path: the run's folder.
        registry: where names are looked up.
        tell: hears of progress.
        data_dir: where the data sets are now; None for where they were.
        stages: the plan that the run was started with.
        overrides: options that the run shall have: those it has, or more ``training.epochs``.

    Raises:
        UserError: the overrides contradict the run.
        LatentkitError: as `start_run`; `IntegrityError` where files of the run were changed.
    """
    folder = RunFolder.open(path)
    with folder.writing():
        config = _extend(folder, registry, overrides or {}, tell)
        tell(RunPreparing(tuple(stage.name for stage in stages(config))))
        _tell_of_other_versions(folder, tell)
        _check_parts(config, registry)
        data = data_dir or Path(folder.manifest.data_dir)
        workshop = Workshop(config, registry, data, resolve_device(config.run.device))
        folder.set_status("running")
        _execute(folder, workshop, tell, stages, resumed=True)
    return folder


def add_embeddings(
    path: Path,
    names: Iterable[str],
    overrides: Mapping[str, Any],
    registry: Registry,
    tell: Listener,
    data_dir: Path | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Add maps to a run, or make one anew with other options, and do what is missing.

    Args:
        path: the run's folder.
        names: embeddings to add.
        overrides: ``"embedding.option"`` to a value.
        registry: where names are looked up.
        tell: hears of progress.
        data_dir: as in `resume_run`.
        chosen: what the maps are of and laid over: fields of `MapOptions`.

    Raises:
        UserError: an override speaks of something other than an embedding.
        LatentkitError: as `resume_run`.
    """
    chosen = chosen or {}
    folder = RunFolder.open(path)
    with folder.writing():
        before = stored_config(folder, registry)
        old = {part.label: part for part in before.embeddings}
        tables = []
        for name in dict.fromkeys(names):
            part = choose_map(registry, {"name": name, **chosen})
            tables.append({**old.get(part.label, part).as_dict(), **chosen, "name": name})
        document = {**before.as_dict(), "embedding": tables}
        config = build_config(document, registry, overrides=overrides)
        if config.identity_sha256() != before.identity_sha256():
            raise UserError(
                f"only options of embeddings can be set on a finished run, such as "
                f"-o {tables[-1]['name']}.n_components=3: start a new run for the rest"
            )
        merged = {**old, **{part.label: part for part in config.embeddings}}
        config = replace(config, embeddings=tuple(merged.values()))
        _check_parts(config, registry)
        write_bytes(folder.path / CONFIG, config.to_toml().encode())
    return resume_run(path, registry, tell, data_dir)


def prepare(config: RunConfig, registry: Registry, data: Path) -> tuple[RunConfig, Workshop]:
    """Load what the configuration names, and resolve every ``auto`` in it.

    Raises:
        LatentkitError: something is missing, damaged, or does not fit.
    """
    device = resolve_device(config.run.device)
    precision = resolve_precision(config.training.precision, device)
    run = config.run.model_copy(
        update={"device": device.type, "threads": resolve_threads(config.run.threads)}
    )
    config = replace(
        config,
        run=run,
        training=config.training.model_copy(update={"precision": precision}),
    )
    _check_parts(config, registry)
    workshop = Workshop(config, registry, data, device)
    train, test = workshop.images("train"), workshop.images("test")
    if train.image_shape != test.image_shape:
        raise UserError(
            f"dataset {config.dataset.name!r} has training images {train.image_shape} and test "
            f"images {test.image_shape}: they must have one shape"
        )
    workshop.config = with_counts(config, len(workshop.split.train))
    _check_warm_up(workshop)
    return workshop.config, workshop


def _check_warm_up(workshop: Workshop) -> None:
    """Build the model, and refuse a warm-up that training would never end."""
    training = workshop.config.training
    warm_up = getattr(workshop.new_model(), "warm_up_steps", 0)
    each = steps_per_epoch(len(workshop.split.train), int(training.batch_size))
    total = int(training.epochs) * each
    if warm_up > total:
        raise UserError(
            f"model {workshop.config.model.name!r} warms up for {warm_up:,} steps, and training "
            f"has {total:,} ({training.epochs} epochs of {each}): lower model.warm_up, or train "
            f"for more epochs"
        )


def stored_config(folder: RunFolder, registry: Registry) -> RunConfig:
    """Return the configuration in a run's folder.

    Raises:
        IntegrityError: it was edited in more than its embeddings.
    """
    text = folder.config_toml()
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise IntegrityError(f"{folder.path / CONFIG} was damaged: {error}") from error
    known = folder.manifest.config
    here = {key: value for key, value in document.items() if key != "embedding"}
    if canonical_sha256(here) != folder.manifest.config_sha256 and not _has_more_epochs(
        known, here
    ):
        raise IntegrityError(
            f"{folder.path / CONFIG} was edited ({_difference(known, here)}): a run keeps its "
            f"configuration; put that back, and start another run with --config and a copy"
        )
    return build_config(document, registry)


def _extend(
    folder: RunFolder, registry: Registry, overrides: Mapping[str, Any], tell: Listener
) -> RunConfig:
    """Return the run's configuration, with more epochs where they are asked for.

    The configuration is written before the manifest, so that a run that is killed in between
    is one whose ``config.toml`` asks for more epochs, which `stored_config` takes as it is.
    """
    stored = stored_config(folder, registry)
    config = build_config(stored.as_dict(), registry, overrides=overrides)
    before, after = stored.identity(), config.identity()
    if before != after and not _has_more_epochs(before, after):
        raise UserError(
            f"run {folder.manifest.id} keeps its configuration ({_difference(before, after)}); "
            f"only training.epochs may grow: start another run with "
            f"--config {folder.path / CONFIG}"
        )
    known = folder.manifest.config
    if known != after:
        write_bytes(folder.path / CONFIG, config.to_toml().encode())
        folder.manifest.config = after
        folder.manifest.config_sha256 = config.identity_sha256()
        folder.manifest.write(folder.path)
        training = config.training
        tell(
            Notice(
                "extended",
                f"training goes on from {known['training']['epochs']} to {training.epochs} epochs, "
                f"and the {training.schedule} schedule is that of {training.epochs} from now on",
                "info",
            )
        )
    return config


def _has_more_epochs(known: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Return whether two configurations differ in nothing but a greater number of epochs."""

    def rest(document: Mapping[str, Any]) -> dict[str, Any]:
        training = {k: v for k, v in document["training"].items() if k != "epochs"}
        return {**document, "training": training}

    try:
        return rest(known) == rest(here) and (
            here["training"]["epochs"] > known["training"]["epochs"]
        )
    except (KeyError, TypeError, AttributeError):  # it was edited in more than that
        return False


def _execute(
    folder: RunFolder, workshop: Workshop, tell: Listener, stages: Plan, *, resumed: bool
) -> None:
    config, registry = workshop.config, workshop.registry
    info = RunInfo(folder.manifest.id, folder.path, config.as_dict(), resumed)
    tell = fan_out(_log(folder), tell, _lifecycle(info, registry, tell))
    started = time.perf_counter()
    planned = stages(config)
    names = tuple(stage.name for stage in planned)
    _notify(registry, tell, "latentkit_run_started", run=info)
    tell(RunStarted(folder.manifest.id, str(folder.path), names, resumed))
    status, summary = "failed", {}
    try:
        context = RunContext(config, registry, workshop.data_dir, workshop.device, folder, tell)
        with repeatable(workshop.device, config.run.threads):
            run_stages(planned, context)
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
        _notify(registry, tell, "latentkit_run_finished", run=info, status=status, summary=summary)
        tell(RunFinished(info.id, status, time.perf_counter() - started, summary))


def _log(folder: RunFolder) -> Listener:
    def write(event: Event) -> None:
        if not event.transient:
            record = {"time": time.time(), **event.as_dict()}
            folder.append_event(json.dumps(record, allow_nan=False, default=str))

    return write


def _lifecycle(info: RunInfo, registry: Registry, tell: Listener) -> Listener:
    def forward(event: Event) -> None:
        if isinstance(event, EpochFinished):
            _notify(registry, tell, "latentkit_epoch_finished", run=info, epoch=event)

    return forward


def _notify(registry: Registry, tell: Listener, hook: str, **arguments: Any) -> None:
    for line in registry.notify(hook, **arguments):
        tell(Notice("plugin-failed", line))


def _check_parts(config: RunConfig, registry: Registry) -> None:
    """Import every chosen part now: what is missing shall not be found out after training."""
    find_part(registry, "model", config.model).target()
    find_part(registry, "dataset", config.dataset).target()
    for part in config.corruptions:
        find_part(registry, "corruption", part).target()
    for part in config.embeddings:
        find_part(registry, "embedding", part).target()


def with_counts(config: RunConfig, n: int) -> RunConfig:
    """Turn ``auto`` epochs and batch size into numbers for ``n`` training images.

    Small sets get smaller batches and more epochs, so that they too see enough steps.
    """
    training = config.training
    batch = training.batch_size
    if batch == "auto":
        power = 1 << int(math.log2(max(1, n // _ENOUGH_BATCHES)))
        batch = min(_TYPICAL_BATCH, max(_LEAST_BATCH, power))
    epochs = training.epochs
    if epochs == "auto":
        steps = max(1, n // int(batch))
        epochs = min(_MOST_EPOCHS, max(_TYPICAL_EPOCHS, round(_ENOUGH_STEPS / steps)))
    counted = training.model_copy(update={"batch_size": batch, "epochs": epochs})
    return replace(config, training=counted)


def _tell_of_other_versions(folder: RunFolder, tell: Listener) -> None:
    """Bytes are equal on equal versions only: say which differ."""
    then, now = folder.manifest.versions, package_versions()
    changed = [f"{k} {then[k]} -> {now[k]}" for k in then if k in now and then[k] != now[k]]
    if changed:
        tell(
            Notice(
                "other-versions",
                f"since the run began, {', '.join(changed)}: what is done now may differ in the "
                f"last digits from an uninterrupted run",
            )
        )


def _difference(known: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Name the first key in which two configurations differ."""
    for key in sorted({*known, *here}):
        a, b = known.get(key), here.get(key)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            return f"{key}.{_difference(a, b)}"
        return f"{key}: {json.dumps(a)} became {json.dumps(b)}"
    return "in its form"
