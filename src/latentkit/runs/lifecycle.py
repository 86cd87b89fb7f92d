"""The life of a run: start it, execute its stages, resume it, add maps to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentkit.config import MapConfig, RunConfig, build_config, canonical_sha256, choose_map
from latentkit.errors import DataError, LatentkitError, RunExistsError, UserError, explained
from latentkit.plugin import events
from latentkit.plugin.image_cache import decoding_progress
from latentkit.plugin.studies import TrialPruned
from latentkit.registry.catalogue import Registry
from latentkit.runs import run_files, saved_config
from latentkit.runs.context import ImageCache, RunContext, StageContext
from latentkit.runs.folder import RunFolder, check_folder_name, new_folder
from latentkit.runs.initial_weights import resolve_init
from latentkit.runs.kind import MapImages, RunKind
from latentkit.runs.manifest import NAME, Manifest
from latentkit.runs.needs import state_needs
from latentkit.runs.prepare import check_parts, prepare, with_found_runs
from latentkit.runs.shared_run import share_run
from latentkit.runs.stages import package_versions, run_stages
from latentkit.runs.summary import summarise
from latentkit.training.device import device_at_hand, repeatable


def execute(
    folder: RunFolder,
    context: RunContext,
    emit: events.Listener,
    kind: RunKind,
    *,
    resumed: bool,
    force: Collection[str] = (),
    svg: bool = False,
    needed: Collection[str] = (),
    retry: bool = True,
) -> None:
    """Execute the stages that are not current, and record the outcome in the status and log.

    Args:
        folder: the run's folder, locked for writing.
        context: loads what the configuration names.
        emit: receives progress events.
        kind: the kind of run, which plans the stages.
        resumed: whether the run was started before.
        force: names of stages that are executed again even if they are current.
        svg: whether the report saves figures as SVG, too.
        needed: as in `run_stages`.
        retry: as in `run_stages`.

    Raises:
        LatentkitError: a stage failed that the run needs; the run is marked as failed.
        KeyboardInterrupt: the run is marked as interrupted.
        TrialPruned: a tuner stopped the trial; the run is marked as pruned.
    """
    config, registry = context.config, context.registry
    info = _info(folder, config, kind, resumed)
    emit = events.fan_out(_log(folder), emit)
    notify = notifier(registry, emit)
    emit = events.fan_out(emit, _lifecycle(info, notify))
    started = time.perf_counter()
    planned = kind.plan(config, svg=svg)
    names = tuple(stage.name for stage in planned)
    notify("latentkit_run_started", run=info)
    emit(events.RunStarted(folder.manifest.id, str(folder.path), names, resumed))
    status, summary = "failed", {}
    try:
        context = StageContext(
            config, registry, context.data_dir, context.device, folder, emit, context.image_cache
        )
        with repeatable(context.device, config.run.threads), _decoding_shown(emit):
            run_stages(planned, context, force, needed=needed, retry=retry)
        status = "finished"
        folder.set_status("finished")
        summary = summarise(folder, kind)
    except KeyboardInterrupt:
        status = "interrupted"
        folder.set_status("interrupted")
        raise
    except TrialPruned as given_up:
        status = "pruned"
        folder.set_status("pruned", str(given_up))
        raise
    except BaseException as error:  # SystemExit, too: code of a plugin may call sys.exit
        known = explained(error)
        shown = known or error
        folder.set_status("failed", f"{type(shown).__name__}: {shown}")
        if known is not None:
            raise known from error
        raise
    finally:
        why = " ".join(folder.manifest.error.split())
        ended = {"status": status, "summary": summary, "error": why}
        notify("latentkit_run_finished", run=info, **ended)
        emit(events.RunFinished(info.id, status, time.perf_counter() - started, summary))


def _decoding_shown(emit: events.Listener) -> AbstractContextManager[None]:
    """Report as progress of the stage data how many image files have been decoded."""
    return decoding_progress(
        lambda done, total: emit(
            events.StageProgress("data", done, total, f"decoding {total:,} image files")
        )
    )


def _info(folder: RunFolder, config: RunConfig, kind: RunKind, resumed: bool) -> events.RunInfo:
    return events.RunInfo(
        folder.manifest.id,
        folder.path,
        config.as_dict(),
        resumed,
        kind.trial(folder, config),
        config.identity_sha256(),
        folder.manifest.versions,
    )


def _log(folder: RunFolder) -> events.Listener:
    def write(event: events.Event) -> None:
        if not event.transient:
            record = {"time": time.time(), **event.as_dict()}
            folder.append_event(json.dumps(record, allow_nan=False, default=str))

    return write


def _lifecycle(info: events.RunInfo, notify: Callable[..., None]) -> events.Listener:
    def forward(event: events.Event) -> None:
        if isinstance(event, events.EpochFinished):
            notify("latentkit_epoch_finished", run=info, epoch=event)

    return forward


def notifier(registry: Registry, emit: events.Listener) -> Callable[..., None]:
    """Return a function that calls a lifecycle hook of every plugin.

    The first time that a plugin's hook fails, a notice reports it; later failures are silent.
    """
    noticed: set[str] = set()

    def notify(hook: str, **arguments: Any) -> None:
        for where, fault in registry.notify(hook, **arguments).items():
            if where not in noticed:  # once, and not after every epoch
                noticed.add(where)
                emit(events.Notice("plugin-failed", f"{where}: {fault}"))

    return notify


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Args:
        runs: the folder that contains the folders of runs.
        data: the folder of data sets.
        name: name of the run's folder; if empty, it is made from date, model and data set.
        image_cache: cache of loaded images.
    """

    runs: Path
    data: Path
    name: str = ""
    image_cache: ImageCache = field(default_factory=ImageCache)


def start_run(
    config: RunConfig, registry: Registry, place: Place, emit: events.Listener, kind: RunKind
) -> RunFolder:
    """Create a run's folder and execute its stages.

    Everything that can be checked before training is checked before the folder is created.

    Raises:
        RunExistsError: another process created the named run first.
        LatentkitError: the run failed; a folder that was created keeps what was committed.
        KeyboardInterrupt: the run is marked as interrupted and can be resumed.
    """
    emit(events.RunPreparing(kind.stage_names(config)))
    with _decoding_shown(emit):
        context = prepare(
            config, registry, place.data, kind, runs=place.runs, image_cache=place.image_cache
        )
    state_needs(context, kind, place.runs, emit)
    share_run(context, kind, emit)
    path = (
        place.runs / place.name
        if place.name
        else new_folder(place.runs, kind.label(context.config))
    )
    facts = saved_config.run_facts(context)
    with RunFolder.creating(path, context.config.to_toml(), **facts) as folder:
        execute(folder, context, emit, kind, resumed=False)
    return folder


def resume_run(
    path: Path,
    registry: Registry,
    emit: events.Listener,
    kind: RunKind,
    data_dir: Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    force: Collection[str] = (),
    svg: bool = False,
    retry: bool = True,
    image_cache: ImageCache | None = None,
) -> RunFolder:
    """Execute the stages of a run that are missing.

    Args:
        path: the run's folder.
        registry: where names are looked up.
        emit: receives progress events.
        kind: the kind of run.
        data_dir: where the data sets are now; None if they did not move.
        overrides: options that the run should have; only ``training.epochs`` may grow.
        force: names of stages that are executed again even if they are current.
        svg: whether the report saves figures as SVG, too.
        retry: whether optional parts that were left out before are tried again.
        image_cache: cache of loaded images; None for a new one.

    Raises:
        UserError: the overrides contradict the run.
        LatentkitError: as `start_run`; an `IntegrityError` if files of the run were changed.
    """
    folder = RunFolder.open(path)
    saved_config.check_plugin_files(folder.manifest, registry)
    with folder.writing():
        stored = saved_config.stored_config(folder, registry)
        config = saved_config.extended_config(folder, stored, registry, overrides or {}, emit, kind)
        context = _resumed_context(folder, config, registry, data_dir, image_cache)
        _continue(folder, context, emit, kind, force=force, svg=svg, retry=retry)
    return folder


def _resumed_context(
    folder: RunFolder,
    config: RunConfig,
    registry: Registry,
    data_dir: Path | None,
    image_cache: ImageCache | None = None,
) -> RunContext:
    # A map that exists needs no embedding, and one that cannot be made is left out.
    check_parts(replace(config, embeddings=()))
    data = data_dir or Path(folder.manifest.data_dir)
    device = device_at_hand(config.run.device)
    return RunContext(config, registry, data, device, image_cache, folder.path.parent)


def _continue(
    folder: RunFolder,
    context: RunContext,
    emit: events.Listener,
    kind: RunKind,
    *,
    force: Collection[str] = (),
    svg: bool = False,
    needed: Collection[str] = (),
    retry: bool = False,
) -> None:
    """Execute what is missing of a run whose lock is held."""
    emit(events.RunPreparing(kind.stage_names(context.config)))
    _notice_other_versions(folder, emit)
    _notice_other_device(context.config, context.device.type, emit)
    share_run(context, kind, emit)
    folder.set_status("running")
    how: dict[str, Any] = {"force": force, "svg": svg, "needed": needed, "retry": retry}
    execute(folder, context, emit, kind, resumed=True, **how)


def add_embeddings(
    path: Path,
    names: Iterable[str],
    overrides: Mapping[str, Any],
    registry: Registry,
    emit: events.Listener,
    kind: RunKind,
    data_dir: Path | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Add maps to a run, or make a map again with other options, and execute what is missing.

    Args:
        path: the run's folder.
        names: embeddings to add.
        overrides: values by ``"embedding.option"``.
        registry: where names are looked up.
        emit: receives progress events.
        kind: the kind of run.
        data_dir: as in `resume_run`.
        chosen: the points of the maps and their reference map: fields of `MapOptions`.

    Raises:
        UserError: an override does not belong to an embedding.
        LatentkitError: as `resume_run`. A map that failed is removed from the run's
            configuration, and the run is as it was.
    """
    chosen = chosen or {}
    folder = RunFolder.open(path)
    with folder.writing():
        before = saved_config.stored_config(folder, registry)
        old = {part.label: part for part in before.embeddings}
        tables = []
        for name in dict.fromkeys(names):
            part = choose_map(registry, {"name": name, **chosen})
            tables.append({**old.get(part.label, part).as_dict(), **chosen, "name": name})
        document = {**before.as_dict(), "embedding": tables}
        config = build_config(document, registry, overrides=overrides)
        config = with_found_runs(config, folder.path.parent, folder.path.name)
        if config.identity_sha256() != before.identity_sha256():
            raise UserError(
                f"only options of embeddings can be set on a finished run, such as "
                f"-o {tables[-1]['name']}.n_components=3: start a new run for the rest"
            )
        before = saved_config.extended_config(folder, before, registry, {}, emit, kind)
        context = _resumed_context(folder, before, registry, data_dir)
        _add_maps(folder, context, config, emit, kind, needed=True)
    return folder


def _add_maps(
    folder: RunFolder,
    context: RunContext,
    asked: RunConfig,
    emit: events.Listener,
    kind: RunKind,
    *,
    needed: bool,
) -> None:
    """Check the maps of ``asked``, add them to a run whose lock is held, and make them.

    Args:
        folder: the run's folder.
        context: the run with the maps that it has.
        asked: the configuration that has the maps to add.
        emit: receives progress events.
        kind: the kind of run.
        needed: whether a map that cannot be made is an error, not left out as in a new run.
    """
    before, known = context.config, folder.manifest.model_copy(deep=True)
    labels = {part.label for part in asked.embeddings}
    maps = {part.label: part for part in (*before.embeddings, *asked.embeddings)}
    added = tuple(part for part in maps.values() if part.label in labels)
    check_parts(replace(before, embeddings=added))
    kind.check_maps(replace(before, embeddings=added), MapImages.of_stored(folder, context, labels))
    context.config = replace(before, embeddings=tuple(maps.values()))
    folder.manifest.plugin_files |= saved_config.plugin_files(context.registry)
    folder.manifest.write(folder.path)
    folder.write_config(context.config.to_toml())
    if not needed:
        _continue(folder, context, emit, kind, retry=True)
        return
    try:
        _continue(folder, context, emit, kind, needed={f"embed:{part.slug}" for part in added})
    except Exception:
        kept = _without_failed_maps(folder, before, context.config, added, known)
        if kept is not None and kept.embeddings != before.embeddings:
            context.config = kept
            with suppress(LatentkitError):  # the map's error says more
                _continue(folder, context, emit, kind)
        raise


def _without_failed_maps(
    folder: RunFolder,
    before: RunConfig,
    config: RunConfig,
    added: Iterable[MapConfig],
    known: Manifest,
) -> RunConfig | None:
    """Remove added maps that could not be made from a run's configuration, and return it.

    If no added map was made, the plugin files that only those needed are removed, too, and a run
    that was finished is so again. If all were made, something else failed: the result is None.
    """

    def is_made(part: MapConfig) -> bool:
        record = folder.manifest.stages.get(f"embed:{part.slug}")
        return record is not None and record.settings == canonical_sha256(part.as_dict())

    failed = {part.label for part in added if not is_made(part)}
    if not failed:
        return None
    old = {part.label: part for part in before.embeddings}
    maps = {part.label: part for part in config.embeddings if part.label not in failed}
    kept = [maps.get(part.label, old.get(part.label)) for part in config.embeddings]
    config = replace(config, embeddings=tuple(part for part in kept if part is not None))
    folder.write_config(config.to_toml())
    if config.embeddings == before.embeddings:
        folder.manifest.plugin_files = known.plugin_files
        if known.status == "finished":
            folder.manifest.status, folder.manifest.error = "finished", ""
    folder.manifest.write(folder.path)
    return config


def _notice_other_device(config: RunConfig, now: str, emit: events.Listener) -> None:
    """Report that a run resumes on another device, such as a server's run on a laptop."""
    if config.run.device != now:
        emit(
            events.Notice(
                "other-device",
                f"the run was started on {config.run.device}, which is not available: it resumes "
                f"on {now}, unfinished training stays in {config.training.precision}, and new "
                f"results may differ in the last digits",
            )
        )


def _notice_other_versions(folder: RunFolder, emit: events.Listener) -> None:
    """Report packages whose versions differ, because results are only exact on equal versions."""
    then, now = folder.manifest.versions, package_versions()
    changed = [f"{k} {then[k]} -> {now[k]}" for k in then if k in now and then[k] != now[k]]
    if changed:
        emit(
            events.Notice(
                "other-versions",
                f"versions changed since the run was started ({', '.join(changed)}): new results "
                f"may differ in the last digits from those of an uninterrupted run",
            )
        )


def start_named_run(
    config: RunConfig, registry: Registry, place: Place, emit: events.Listener, kind: RunKind
) -> RunFolder:
    """Start a run, or resume it if a run of that name exists.

    An existing run keeps its maps, and maps that it lacks are added.

    Raises:
        UserError: the name cannot be a folder's name, or the existing run has other options.
        LatentkitError: as `start_run` and `resume_run`.
    """
    if not place.name:
        return start_run(config, registry, place, emit, kind)
    check_folder_name(place.name)
    path = place.runs / place.name
    if not (path / NAME).is_file():
        # If another process creates the run at the same moment, this one resumes it or is refused.
        with suppress(RunExistsError):
            return start_run(config, registry, place, emit, kind)
    folder = RunFolder.open(path)
    config = with_found_runs(config, place.runs, place.name)
    saved_config.check_plugin_files(folder.manifest, registry)
    with folder.writing():
        stored = saved_config.stored_config(folder, registry)
        saved_config.check_same(folder, stored, resolve_init(config, place.runs))
        stored = saved_config.extended_config(folder, stored, registry, {}, emit, kind)
        context = _resumed_context(folder, stored, registry, place.data, place.image_cache)
        _check_images(folder, context)
        if all(part in stored.embeddings for part in config.embeddings):
            _continue(folder, context, emit, kind, retry=True)
        else:
            _add_maps(folder, context, config, emit, kind, needed=False)
    return folder


def _check_images(folder: RunFolder, context: RunContext) -> None:
    """Refuse to give a run's results for other images than those that it was started with.

    Raises:
        DataError: the images have changed. Images that are not at hand are not compared.
    """
    if run_files.DATA not in folder.manifest.artefacts:
        return
    known = folder.json(run_files.DATA)["digest"]
    part = context.config.dataset
    for split in ("train", "test"):
        try:
            with part.offline():
                digest = context.images(split).digest()
        except LatentkitError:
            return
        if digest != known[split]:
            raise DataError(
                f"the {split} images of {part.name!r} have changed since run "
                f"{folder.manifest.id!r} was made: choose another --name, or restore them"
            )
