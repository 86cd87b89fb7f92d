"""The configuration in a run's folder: read it, check it for edits, and extend it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from latentkit.config import RunConfig, build_config, canonical_sha256
from latentkit.errors import IntegrityError, UserError
from latentkit.plugin.events import Listener, Notice
from latentkit.registry.catalogue import Registry
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG, RunFolder


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
    folder: RunFolder, registry: Registry, overrides: Mapping[str, Any], tell: Listener
) -> RunConfig:
    """Return the run's configuration, with more epochs if the overrides ask for them.

    The configuration is written before the manifest. A run that is killed in between therefore
    has a ``config.toml`` with more epochs, which `stored_config` accepts.

    Raises:
        UserError: the overrides change something else.
    """
    stored = stored_config(folder, registry)
    config = build_config(stored.as_dict(), registry, overrides=overrides)
    before, after = stored.identity(), config.identity()
    if before != after and not _has_more_epochs(before, after):
        raise UserError(
            f"run {folder.manifest.id} keeps its configuration ({differing(before, after)}); "
            f"only training.epochs may grow: start another run with "
            f"--config {folder.path / CONFIG}"
        )
    if before != after and stored.transfer is not None and stored.transfer.mode == "all":
        raise UserError(
            f"run {folder.manifest.id} compares classifiers trained for equal numbers of epochs: "
            f"start another comparison with --epochs"
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
