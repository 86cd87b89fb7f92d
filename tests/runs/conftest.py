"""Fixtures that make folders of runs in which no stage is done yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from latentkit.runs.folder import RunFolder, new_folder


@pytest.fixture
def new_run() -> Callable[..., RunFolder]:
    """Return a function that makes a run's folder below a root."""

    def make(root: Path, label: str = "net-images") -> RunFolder:
        path = new_folder(root, label)
        facts = {"config": {}, "config_sha256": "", "seed": 0, "data_dir": ""}
        with RunFolder.creating(path, "seed = 0\n", **facts) as folder:
            return folder

    return make


@pytest.fixture
def folder(tmp_path: Path, new_run: Callable[..., RunFolder]) -> RunFolder:
    """Return the folder of a new run, in ``tmp_path/runs``."""
    return new_run(tmp_path / "runs")
