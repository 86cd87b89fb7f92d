"""The configuration and plugin files that a run was started with: recorded and checked."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentkit.atomic import write_bytes
from latentkit.config import RunConfig, build_config, canonical_sha256
from latentkit.errors import IntegrityError, UserError, describe_os_error
from latentkit.plugin.events import Listener, Notice
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.discovery import PluginFile
from latentkit.runs.folder import CONFIG, RunFolder
from latentkit.runs.kind import RunKind
from latentkit.runs.manifest import Manifest


def stored_config(folder: RunFolder, registry: Registry) -> RunConfig:
    """Return the configuration in a run's folder.

    Raises:
        IntegrityError: the file is damaged, or something other than its embeddings or a greater
            number of epochs was edited.
    """
    text = folder.config_toml()
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise IntegrityError(f"{folder.path / CONFIG} is damaged: {error}") from error
    known = folder.manifest.config
    here = {key: value for key, value in document.items() if key != "embedding"}
    if canonical_sha256(here) != folder.manifest.config_sha256 and not _has_more_epochs(
        known, here
    ):
        raise IntegrityError(
            f"{folder.path / CONFIG} was edited ({differing(known, here)}), but a run keeps its "
            f"configuration: undo the edit, and start another run with --config and an edited copy"
        )
    return build_config(document, registry)


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
        write_bytes(folder.path / CONFIG, config.to_toml().encode())
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
    """Describe the first key, in alphabetical order, in which two configurations differ."""
    for key in sorted({*known, *here}):
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


def registry_of(manifest: Manifest) -> Registry:
    """Return the default registry with the plugin files that a run was made with.

    A file that was moved is accepted if ``--plugin`` gives its new path.

    Raises:
        IntegrityError: a file is missing or was changed.
    """
    recorded = _not_loaded(manifest, default_registry())
    for path, sha256 in recorded.items():
        _check(path, sha256, manifest.id)
    return default_registry(recorded)


def check_plugin_files(manifest: Manifest, registry: Registry) -> None:
    """Refuse to resume a run without the plugin files that it was made with.

    Raises:
        IntegrityError: a plugin file is not loaded.
    """
    for path, sha256 in _not_loaded(manifest, registry).items():
        _check(path, sha256, manifest.id)
        raise IntegrityError(
            f"run {manifest.id} was made with plugin file {path}: add  --plugin {path}"
        )


def _not_loaded(manifest: Manifest, registry: Registry) -> dict[Path, str]:
    """Return path and SHA-256 of the run's plugin files that ``registry`` lacks."""
    here = {file.sha256 for file in registry.files}
    return {Path(p): sha256 for p, sha256 in manifest.plugin_files.items() if sha256 not in here}


def _check(path: Path, sha256: str, run: str) -> None:
    try:
        now = PluginFile(path, path.read_bytes()).sha256
    except OSError as error:
        raise IntegrityError(
            f"run {run} was made with plugin file {path}, which cannot be read "
            f"({describe_os_error(error)}): restore it, or give its new path with --plugin"
        ) from error
    if now != sha256:
        raise IntegrityError(
            f"run {run} was made with plugin file {path}, which has changed since (its SHA-256 "
            f"differs): restore the original, or start a new run"
        )
