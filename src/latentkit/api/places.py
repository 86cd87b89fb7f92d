"""Default folders of runs, studies, maps and data sets."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATA_VARIABLE = "LATENTKIT_DATA"
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
