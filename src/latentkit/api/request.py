"""Configuration of a run from a caller's arguments; nothing here imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latentkit.config import RunConfig, build_config, read_config_file
from latentkit.registry.catalogue import Registry

Path_ = str | os.PathLike[str]


def configure(
    registry: Registry,
    *,
    config: Path_ | Mapping[str, Any] | None = None,
    model: str | None = None,
    dataset: str | None = None,
    corrupt: Iterable[str] = (),
    embed: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    init_from: Path_ | None = None,
) -> RunConfig:
    """Return the validated configuration of a run; arguments as in `latentkit.run`.

    Raises:
        UserError: a name or option is unknown, or a value has the wrong type or range.
    """
    document = read_document(config)
    if init_from is not None:
        document = {**document, "init": {"path": os.fspath(init_from)}}
    overrides = {
        key: value
        for key, value in {"training.epochs": epochs, "seed": seed, "device": device}.items()
        if value is not None
    }
    return build_config(
        document,
        registry,
        model=model,
        dataset=dataset,
        corruptions=corrupt,
        embeddings=embed,
        overrides={**overrides, **(options or {})},
    )


def read_document(config: Path_ | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return a configuration's tables: from a file, as given, or empty for None."""
    if config is None:
        return {}
    return config if isinstance(config, Mapping) else read_config_file(Path(config))
