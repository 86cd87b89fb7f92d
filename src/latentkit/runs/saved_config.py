"""The configuration and plugin files that a run was started with: recorded and checked."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latentkit import trust
from latentkit.config import RunConfig, build_config, canonical_sha256
from latentkit.errors import IntegrityError, PluginError, UserError
from latentkit.plugin.events import Listener, Notice
from latentkit.reading import parse_toml
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.discovery import LOADED_PLUGINS, PluginFile, read_plugin_file
from latentkit.runs.context import RunContext
from latentkit.runs.folder import CONFIG, RunFolder
from latentkit.runs.kind import RunKind
from latentkit.runs.manifest import Manifest
from latentkit.runs.stages import hardware, package_versions, plugin_versions
from latentkit.terminal import shell_command


def run_facts(context: RunContext) -> dict[str, Any]:
    """Return what a new run's manifest says of its configuration, machine, versions and plugins."""
    config, registry = context.config, context.registry
    return {
        "config": config.identity(),
        "config_sha256": config.identity_sha256(),
        "seed": config.run.seed,
        "data_dir": str(context.data_dir),
        "versions": package_versions(),
        "hardware": hardware(config.run.device, config.run.threads),
        "plugins": plugin_versions(registry),
        "plugin_files": plugin_files(registry),
    }


def stored_config(folder: RunFolder, registry: Registry) -> RunConfig:
    """Return the configuration in a run's folder.

    Raises:
        IntegrityError: the file is damaged, or something other than its embeddings or a greater
            number of epochs was edited.
    """
    document = parse_toml(folder.config_toml().encode(), folder.path / CONFIG)
    known = folder.manifest.config
    here = {key: value for key, value in document.items() if key != "embedding"}
    if canonical_sha256(here) != folder.manifest.config_sha256 and not _has_more_epochs(
        known, here
    ):
        raise IntegrityError(
            f"{folder.path / CONFIG} was edited ({differing(known, here)}), but a run keeps its "
            f"configuration: undo the edit, and start another run with --config and an edited copy"
        )
    try:
        return build_config(document, registry)
    except UserError as error:
        hint = _not_installed(folder.manifest)
        raise type(error)(f"{folder.path / CONFIG}: {error}{hint}") from error


def _not_installed(manifest: Manifest) -> str:
    """Return a hint at the distributions that a run was made with and that are not installed.

    Whoever made the run chose the names, so the hint does not offer a command to be copied.
    """
    lacking = []
    for name, known in manifest.plugins.items():
        try:
            version(name)
        except (PackageNotFoundError, ValueError):
            lacking.append(f"{name} {known}")
    if not lacking:
        return ""
    return (
        f"; the run was made with plugins that are not installed here: install, if you trust them, "
        f"{', '.join(lacking)}"
    )


def extended_config(
    folder: RunFolder,
    stored: RunConfig,
    registry: Registry,
    overrides: Mapping[str, Any],
    emit: Listener,
    kind: RunKind,
) -> RunConfig:
    """Return the run's configuration, with more epochs if the overrides ask for them.

    The configuration is written before the manifest. A run that is killed in between therefore
    has a ``config.toml`` with more epochs, which `stored_config` accepts.

    Args:
        folder: the run's folder, locked for writing.
        stored: its configuration, from `stored_config`.
        registry: where names are looked up.
        overrides: options to change; only ``training.epochs`` may grow.
        emit: receives a notice if training is extended.
        kind: the kind of run, which may refuse more epochs.

    Raises:
        UserError: the overrides change something else.
    """
    _notice_edit(folder, stored, emit)
    config = stored
    if overrides:
        config = build_config(stored.as_dict(), registry, overrides=overrides)
    before, after = stored.identity(), config.identity()
    if before != after:
        if not _has_more_epochs(before, after):
            raise UserError(
                f"run {folder.manifest.id} keeps its configuration ({differing(before, after)}); "
                f"only training.epochs may grow: start another run with "
                f"--config {folder.path / CONFIG}"
            )
        kind.check_more_epochs(stored, folder.manifest.id)
    known = folder.manifest.config
    if known != after:
        folder.write_config(config.to_toml())
        folder.manifest.earlier_epochs.append(int(known["training"]["epochs"]))
        folder.manifest.config = after
        folder.manifest.config_sha256 = config.identity_sha256()
        folder.manifest.write(folder.path)
        training = config.training
        emit(
            Notice(
                "extended",
                f"training is extended from {known['training']['epochs']} to {training.epochs} "
                f"epochs, and the {training.schedule} schedule now spans {training.epochs} epochs",
                "info",
            )
        )
    return config


def _notice_edit(folder: RunFolder, stored: RunConfig, emit: Listener) -> None:
    """Report a configuration file whose maps or epochs differ from what was written."""
    if folder.config_edited:
        maps = ", ".join(part.label for part in stored.embeddings) or "no maps"
        emit(
            Notice(
                "edited-config",
                f"{folder.path / CONFIG} was edited or damaged since it was written: the run now "
                f"has {stored.training.epochs} epochs and {maps}",
            )
        )


def _has_more_epochs(known: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Return whether ``here`` differs from ``known`` only in a greater number of epochs."""

    def rest(document: Mapping[str, Any]) -> dict[str, Any]:
        training = {k: v for k, v in document["training"].items() if k != "epochs"}
        return {**document, "training": training}

    try:
        return rest(known) == rest(here) and (
            here["training"]["epochs"] > known["training"]["epochs"]
        )
    except (KeyError, TypeError, AttributeError):  # an edit broke the expected structure
        return False


def differing(known: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Describe the first key in which two configurations differ: a name before any option."""
    for key in sorted({*known, *here}, key=lambda key: (key != "name", key)):
        a, b = known.get(key), here.get(key)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            return f"{key}.{differing(a, b)}"
        return f"{key}: {json.dumps(a)} became {json.dumps(b)}"
    return "only the types of values"


def plugin_files(registry: Registry) -> dict[str, str]:
    """Return the SHA-256 of each loaded plugin file, by path."""
    return {str(file.path): file.sha256 for file in registry.files}


def registry_of(manifest: Manifest, plugins: Iterable[str | os.PathLike[str]] = ()) -> Registry:
    """Return the default registry with the plugin files that a run was made with.

    Whoever made the run chose the files that it names. So a file is only executed if the user named
    it on a command line before, or allowed it, and only with the bytes of that time.

    Args:
        manifest: names the files.
        plugins: files that the user names now; one of them may be a moved file of the run.

    Raises:
        PluginError: the user has not allowed a file, or loads built-in parts only.
        IntegrityError: an allowed file is missing or was changed.
    """
    named = list(plugins)
    registry = default_registry(named)
    recorded = _not_loaded(manifest, registry)
    for path, sha256 in recorded.items():
        if not trust.is_trusted("plugin", sha256):
            raise PluginError(_not_allowed(manifest, registry, path))
    if recorded and LOADED_PLUGINS in os.environ:
        raise PluginError(
            f"run {manifest.id} was made with plugin file {min(recorded)}, which --no-plugins or "
            f"{LOADED_PLUGINS} leaves out: leave that out, or name the file with --plugin"
        )
    read = [_read(path, sha256, manifest.id) for path, sha256 in recorded.items()]
    return default_registry(named, read)


def _not_allowed(manifest: Manifest, registry: Registry, path: Path) -> str:
    wanted = [
        f"{kind} {name!r}"
        for kind, name in _named_parts(manifest.config)
        if not any(part.spec.name == name.rpartition(":")[2] for part in registry.parts(kind))
    ]
    use = " and ".join(wanted) if wanted else "a part that its configuration does not name"
    return (
        f"run {manifest.id} names plugin file {path} for {use}, but you have not allowed this file "
        f"to be executed: read it, then allow it, or your copy of it, with "
        f"'{shell_command('plugins', 'trust', path)}', or name it with --plugin, or plugins=[...] "
        f"in Python"
    )


def _named_parts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in ("model", "dataset", "corruption"):
        tables = config.get(kind, [])
        for table in tables if isinstance(tables, list) else [tables]:
            if isinstance(table, Mapping) and isinstance(table.get("name"), str):
                yield kind, table["name"]


def check_plugin_files(manifest: Manifest, registry: Registry) -> None:
    """Refuse to resume a run without the plugin files that it was made with.

    Raises:
        IntegrityError: a plugin file is not loaded.
    """
    for path in _not_loaded(manifest, registry):
        raise IntegrityError(
            f"run {manifest.id} was made with plugin file {path}, or with other content of it: "
            f"add  --plugin {shlex.quote(str(path))}"
        )


def _not_loaded(manifest: Manifest, registry: Registry) -> dict[Path, str]:
    """Return path and SHA-256 of the run's plugin files that ``registry`` lacks."""
    here = {file.sha256 for file in registry.files}
    return {Path(p): sha256 for p, sha256 in manifest.plugin_files.items() if sha256 not in here}


def _read(recorded: Path, sha256: str, run: str) -> PluginFile:
    """Return an allowed file from where the user allowed it.

    The run's own path may lie among other files of a stranger, which the plugin might import.
    """
    path = Path(trust.trusted_name("plugin", sha256) or recorded)
    try:
        file = read_plugin_file(path)
    except UserError as error:
        raise IntegrityError(
            f"run {run} was made with a plugin file that cannot be read now ({error}): restore it, "
            f"or give its new path with --plugin"
        ) from error
    if file.sha256 != sha256:
        raise IntegrityError(
            f"run {run} was made with plugin file {path}, which has changed since (its SHA-256 "
            f"differs): restore the original, or start a new run"
        )
    return file


_LATER: Mapping[str, Any] = {
    "device": "auto",
    "threads": 0,
    **{f"training.{key}": "auto" for key in ("precision", "epochs", "batch_size", "learning_rate")},
    "init.sha256": "",
    "transfer.fit_epochs": [],
    "transfer.fit_batch_sizes": [],
}
"""Options, by their full path, and the values that a run replaces when it starts."""


def check_same(folder: RunFolder, stored: RunConfig, asked: RunConfig) -> None:
    """Refuse to resume a run that has other options.

    Raises:
        UserError: the options differ; the message names the first that does.
    """
    known = stored.identity()
    wanted = _settled(with_choices_of(asked, stored), known)
    for document in (known, wanted):
        document.get("init", {}).pop("path", None)  # the SHA-256 identifies the file's content
        if "transfer" in document:
            document["transfer"]["labels"] = sorted(document["transfer"]["labels"])
    if known != wanted:
        raise UserError(
            f"run {folder.manifest.id!r} in {folder.path.parent} was started with other options "
            f"({differing(known, wanted)}): choose another --name, or delete its folder"
        )


def with_choices_of(asked: RunConfig, stored: RunConfig) -> dict[str, Any]:
    """Return the identity of ``asked``, with the choices that were made for the same images.

    Args:
        asked: the requested configuration; its model's options may be ``auto``.
        stored: the configuration of a run, whose options were chosen when it started.
    """
    document = asked.identity()
    if asked.model.name == stored.model.name:
        chosen = stored.model.as_dict()
        for name in asked.model.chosen() & chosen.keys():
            document["model"].setdefault(name, chosen[name])
    if asked.training.shift == "auto" and stored.training.shift != "auto":
        document["training"]["shift"] = stored.training.shift
    return document


def _settled(asked: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the requested options, with ``auto`` and such replaced by the run's own values.

    Only the options in `_LATER` are replaced. A plugin's option may have the same last name.
    """
    found = {}
    for key, value in asked.items():
        if isinstance(value, Mapping) and isinstance(known.get(key), Mapping):
            found[key] = _settled(value, known[key], f"{path}{key}.")
        elif key in known and f"{path}{key}" in _LATER and value == _LATER[f"{path}{key}"]:
            found[key] = known[key]
        else:
            found[key] = value
    return found
