"""Runs with a chosen name: started, or resumed if they exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latentkit.config import RunConfig
from latentkit.errors import UserError
from latentkit.pipeline.run import Place, resume_run, start_run
from latentkit.pipeline.start import resolve_init
from latentkit.pipeline.stored import differing, stored_config
from latentkit.plugin.events import Listener
from latentkit.registry.catalogue import Registry
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG, RunFolder
from latentkit.runs.manifest import NAME
from latentkit.tuning.folder import check_study_name

_LATER: tuple[tuple[str, Any], ...] = (
    *((key, "auto") for key in ("device", "precision", "epochs", "batch_size", "learning_rate")),
    ("threads", 0),
    ("sha256", ""),
    ("fit_epochs", []),
    ("fit_batch_sizes", []),
)
"""Options and the values that a run replaces when it starts."""


def start_named_run(
    config: RunConfig, registry: Registry, place: Place, tell: Listener
) -> RunFolder:
    """Start a run, or resume it if a run of that name exists.

    An existing run keeps its maps, and maps that it lacks are added.

    Raises:
        UserError: the name cannot be a folder's name, or the existing run has other options.
        LatentkitError: as `start_run` and `resume_run`.
    """
    if not place.name:
        return start_run(config, registry, place, tell)
    check_study_name(place.name)
    path = place.runs / place.name
    if not (path / NAME).is_file():
        return start_run(config, registry, place, tell)
    folder = RunFolder.open(path)
    stored = stored_config(folder, registry)
    _check_same(folder, stored, resolve_init(config))
    maps = {part.label: part for part in (*stored.embeddings, *config.embeddings)}
    merged = replace(stored, embeddings=tuple(maps.values()))
    if merged != stored:
        with folder.writing():
            write_bytes(path / CONFIG, merged.to_toml().encode())
    return resume_run(path, registry, tell, place.data, shelf=place.shelf)


def _check_same(folder: RunFolder, stored: RunConfig, asked: RunConfig) -> None:
    """Refuse to resume a run that has other options.

    Raises:
        UserError: the options differ; the message names the first that does.
    """
    known, wanted = stored.identity(), _settled(asked.identity(), stored.identity())
    for document in (known, wanted):
        document.get("init", {}).pop("path", None)  # the SHA-256 identifies the file's content
        if "transfer" in document:
            document["transfer"]["labels"] = sorted(document["transfer"]["labels"])
    if known != wanted:
        raise UserError(
            f"run {folder.manifest.id!r} in {folder.path.parent} was started with other options "
            f"({differing(known, wanted)}): choose another --name, or delete its folder"
        )


def _settled(asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the requested options, with ``auto`` and such replaced by the run's own values."""
    found = {}
    for key, value in asked.items():
        if isinstance(value, Mapping) and isinstance(known.get(key), Mapping):
            found[key] = _settled(value, known[key])
        elif (key, value) in _LATER and key in known:
            found[key] = known[key]
        else:
            found[key] = value
    return found
