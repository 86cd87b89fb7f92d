"""Plugin files that a run was made with: recorded, and checked when the run is used again."""

from __future__ import annotations

from pathlib import Path

from latentkit.errors import IntegrityError, describe_os_error
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.files import PluginFile
from latentkit.runs.manifest import Manifest


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
