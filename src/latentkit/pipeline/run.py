"""Start a run, resume it, or add maps to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config, canonical_sha256, choose_map
from latentkit.errors import UserError
from latentkit.pipeline.context import DATA, ImageShelf, Workshop
from latentkit.pipeline.environment import hardware, package_versions, plugin_versions
from latentkit.pipeline.execute import Plan, execute
from latentkit.pipeline.maps import check_maps
from latentkit.pipeline.plugin_files import check_plugin_files, plugin_files
from latentkit.pipeline.prepare import check_parts, prepare
from latentkit.pipeline.stored import extended_config, stored_config
from latentkit.pipeline.work import plan
from latentkit.plugin.events import Listener, Notice, RunPreparing
from latentkit.registry.catalogue import Registry
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG, RunFolder, new_folder
from latentkit.runs.manifest import Manifest
from latentkit.training.device import device_at_hand


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Args:
        runs: the folder that contains the folders of runs.
        data: the folder of data sets.
        name: name of the run's folder; if empty, it is made from date, model and data set.
        shelf: cache of loaded images.
    """

    runs: Path
    data: Path
    name: str = ""
    shelf: ImageShelf = field(default_factory=ImageShelf)


def start_run(
    config: RunConfig,
    registry: Registry,
    place: Place,
    tell: Listener,
    stages: Plan = plan,
) -> RunFolder:
    """Make a run's folder, and execute its stages.

    Everything that can be checked in advance is checked before the folder is made.

    Raises:
        LatentkitError: the preparation or a stage failed. A folder that was already made keeps
            what was committed.
        KeyboardInterrupt: the run is marked as interrupted and can be resumed.
    """
    tell(RunPreparing(tuple(stage.name for stage in stages(config))))
    config, workshop = prepare(config, registry, place.data, place.shelf)
    facts = {
        "config": config.identity(),
        "config_sha256": config.identity_sha256(),
        "seed": config.run.seed,
        "data_dir": str(place.data),
        "versions": package_versions(),
        "hardware": hardware(config.run.device, config.run.threads),
        "plugins": plugin_versions(registry),
        "plugin_files": plugin_files(registry),
    }
    label = f"{config.model.slug}-{config.dataset.slug}"
    if config.transfer is not None:
        mode = config.transfer.mode
        label = f"{'transfer' if mode == 'all' else mode}-{label}"
    path = place.runs / place.name if place.name else new_folder(place.runs, label)
    folder = RunFolder.create(path, config.to_toml(), **facts)
    with folder.writing():
        execute(folder, workshop, tell, stages, resumed=False)
    return folder


def resume_run(
    path: Path,
    registry: Registry,
    tell: Listener,
    data_dir: Path | None = None,
    stages: Plan = plan,
    overrides: Mapping[str, Any] | None = None,
    afresh: Collection[str] = (),
    shelf: ImageShelf | None = None,
) -> RunFolder:
    """Resume a run: execute the stages that are missing or out of date.

    Args:
        path: the run's folder.
        registry: where names are looked up.
        tell: receives progress events.
        data_dir: the folder of data sets; None for the one that the run was started with.
        stages: the plan that the run was started with.
        overrides: options to set. Only ``training.epochs`` may differ from the run's own
            options, and only upwards.
        afresh: names of stages that are executed again even if they are current.
        shelf: cache of loaded images; None for a new one.

    Raises:
        UserError: the overrides contradict the run.
        LatentkitError: as `start_run`; an `IntegrityError` if files of the run were changed.
    """
    folder = RunFolder.open(path)
    check_plugin_files(folder.manifest, registry)
    with folder.writing():
        config = extended_config(folder, registry, overrides or {}, tell)
        tell(RunPreparing(tuple(stage.name for stage in stages(config))))
        _tell_of_other_versions(folder, tell)
        check_parts(config, registry)
        data = data_dir or Path(folder.manifest.data_dir)
        device = device_at_hand(config.run.device)
        _tell_of_another_device(config, device.type, tell)
        workshop = Workshop(config, registry, data, device, shelf)
        folder.set_status("running")
        execute(folder, workshop, tell, stages, resumed=True, afresh=afresh)
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
    """Add maps to a run, or make existing ones again with other options, and resume the run.

    Args:
        path: the run's folder.
        names: embeddings to add.
        overrides: values by ``"embedding.option"``.
        registry: where names are looked up.
        tell: receives progress events.
        data_dir: as in `resume_run`.
        chosen: fields of `MapOptions`, such as the latents that the maps show, and the map that
            they are aligned to.

    Raises:
        UserError: an override names an option of something other than an embedding.
        LatentkitError: as `resume_run`. A map that could not be made is removed from the run's
            configuration, which restores the run.
    """
    chosen = chosen or {}
    folder = RunFolder.open(path)
    with folder.writing():
        before, known = stored_config(folder, registry), folder.manifest.model_copy(deep=True)
        old = {part.label: part for part in before.embeddings}
        tables = []
        for name in dict.fromkeys(names):
            part = choose_map(registry, {"name": name, **chosen})
            tables.append({**old.get(part.label, part).as_dict(), **chosen, "name": name})
        document = {**before.as_dict(), "embedding": tables}
        config = build_config(document, registry, overrides=overrides)
        if config.identity_sha256() != before.identity_sha256():
            raise UserError(
                f"only options of embeddings can be set on an existing run, such as "
                f"-o {tables[-1]['name']}.n_components=3: start a new run for other options"
            )
        merged = {**old, **{part.label: part for part in config.embeddings}}
        config = replace(config, embeddings=tuple(merged.values()))
        check_parts(config, registry)
        if DATA in folder.manifest.artefacts and config.transfer is None:
            check_maps(config.embeddings, folder.json(DATA)["counts"], folder)
        folder.manifest.plugin_files |= plugin_files(registry)
        folder.manifest.write(folder.path)
        write_bytes(folder.path / CONFIG, config.to_toml().encode())
    try:
        return resume_run(path, registry, tell, data_dir)
    except Exception:
        _without_failed_maps(folder, before, config, known)
        raise


def _without_failed_maps(
    folder: RunFolder, before: RunConfig, config: RunConfig, known: Manifest
) -> None:
    """Remove added maps that could not be made from a run's configuration.

    If no added map could be made, also remove the plugin files that only those maps needed, and
    mark a run that was finished before as finished again.
    """
    old = {part.label: part for part in before.embeddings}
    with folder.writing():
        stages = folder.manifest.stages
        kept = []
        for part in config.embeddings:
            record = stages.get(f"embed:{part.slug}")
            if record is not None and record.settings == canonical_sha256(part.as_dict()):
                kept.append(part)
            elif part.label in old:
                kept.append(old[part.label])
        if kept == list(config.embeddings):  # all maps were made, so something else failed
            return
        write_bytes(
            folder.path / CONFIG, replace(config, embeddings=tuple(kept)).to_toml().encode()
        )
        if kept == list(before.embeddings):
            folder.manifest.plugin_files = known.plugin_files
            if known.status == "finished":
                folder.manifest.status, folder.manifest.error = "finished", ""
            folder.manifest.write(folder.path)


def _tell_of_another_device(config: RunConfig, now: str, tell: Listener) -> None:
    """Report that a run resumes on another device, such as a server's run on a laptop."""
    if config.run.device != now:
        tell(
            Notice(
                "other-device",
                f"the run was started on {config.run.device}, which is not available: it resumes "
                f"on {now}, unfinished training stays in {config.training.precision}, and new "
                f"results may differ in the last digits",
            )
        )


def _tell_of_other_versions(folder: RunFolder, tell: Listener) -> None:
    """Report packages whose versions differ, because results are only exact on equal versions."""
    then, now = folder.manifest.versions, package_versions()
    changed = [f"{k} {then[k]} -> {now[k]}" for k in then if k in now and then[k] != now[k]]
    if changed:
        tell(
            Notice(
                "other-versions",
                f"versions changed since the run was started ({', '.join(changed)}): new results "
                f"may differ in the last digits from those of an uninterrupted run",
            )
        )
