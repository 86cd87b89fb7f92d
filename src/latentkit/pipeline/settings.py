"""Names that distinguish runs shown side by side, made from the options that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentkit.errors import UserError
from latentkit.pipeline.explored import ExploredRun

_SHOWN = 3


def settings_names(runs: Sequence[ExploredRun]) -> list[str]:
    """Return a unique name for each run, made from the options that differ.

    Raises:
        UserError: their images have different shapes, or a run is named twice.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.image_shape != first.image_shape:
            raise UserError(
                f"run {run.id} is on images {run.image_shape}, run {first.id} on "
                f"{first.image_shape}: choose runs on images of the same shape"
            )
    ids = [run.id for run in runs]
    for name in ids:
        if ids.count(name) > 1:
            raise UserError(f"run {name} is named twice: name each run once")
    names = _differences([run.context.config.identity() for run in runs])
    return [
        f"{name} ({run.id[-4:]})" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _differences(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    flat = [_flat(config) for config in configs]
    keys = list(dict.fromkeys(key for options in flat for key in options))
    differing = [key for key in keys if len({str(options.get(key)) for options in flat}) > 1]
    named = [key for key in differing if key.endswith(".name")]
    shown = [*named, *(key for key in differing if key not in named)][:_SHOWN]
    if not shown:
        return [str(options["model.name"]) for options in flat]
    return [
        ", ".join(
            f"{_short(key)} {options[key]}" if not key.endswith(".name") else str(options[key])
            for key in shown
            if key in options
        )
        for options in flat
    ]


def _short(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as a flat dictionary with keys such as ``part.key``."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            found[f"{prefix}{key}"] = " + ".join(str(part.get("name")) for part in value)
        else:
            found[f"{prefix}{key}"] = value
    return found
