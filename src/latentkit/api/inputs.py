"""Default folders, and the configuration of a run from a caller's arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from latentkit.config import RunConfig, build_config, read_config_file
from latentkit.errors import UserError
from latentkit.registry.catalogue import Registry

DATA_VARIABLE = "LATENTKIT_DATA"
RUNS_VARIABLE = "LATENTKIT_RUNS"
RUNS = Path("runs")
STUDIES = Path("studies")
MAPS = Path("maps")


def data_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of data sets: ``given``, ``LATENTKIT_DATA``, or the user's cache."""
    chosen = given or os.environ.get(DATA_VARIABLE)
    folder = Path(chosen) if chosen else platformdirs.user_cache_path("latentkit") / "data"
    return folder.expanduser().absolute()


def given_data_dir(given: str | os.PathLike[str] | None = None) -> Path | None:
    """Return `data_dir` if the user has chosen a folder, else None."""
    return data_dir(given) if given or os.environ.get(DATA_VARIABLE) else None


def data_dir_of(recorded: str, given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of data sets of a run: the user's choice, or the one that it recorded.

    A run that came as a packed run recorded none, and has the default folder.
    """
    return given_data_dir(given) or (Path(recorded) if recorded else data_dir())


def runs_dir(
    given: str | os.PathLike[str] | None = None, alias: str | os.PathLike[str] | None = None
) -> Path:
    """Return the folder of runs: the given one, ``LATENTKIT_RUNS``, or ``runs``.

    Args:
        given: the caller's ``runs``; None if the caller gave none.
        alias: the same folder if the caller used the argument's older name, ``out`` or ``root``.

    Raises:
        UserError: the caller used both names of the argument.
    """
    if given is not None and alias is not None:
        raise UserError(f"the folder of runs is given twice, as {given} and {alias}: give it once")
    folder = given if alias is None else alias
    if folder is None:
        folder = os.environ.get(RUNS_VARIABLE) or RUNS
    return Path(folder).expanduser()


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
    return config if isinstance(config, Mapping) else read_config_file(Path(config).expanduser())
