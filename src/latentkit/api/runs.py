"""Access to existing runs: open, list, compare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from latentkit.api.handle import Run
from latentkit.api.places import RUNS
from latentkit.api.request import Path_
from latentkit.pipeline.compare import compare_runs
from latentkit.runs.folder import RunFolder, find_run, run_folders


def open_run(path: Path_, root: Path_ = RUNS) -> Run:
    """Open a run.

    Args:
        path: the run's folder, its id in ``root``, an unambiguous start or end of that id, or
            ``last``.
        root: the folder of runs.

    Returns:
        The run, finished or not; its files are read on access.

    Raises:
        latentkit.errors.UserError: there is no such run.

    Example:
        >>> import latentkit as lk
        >>> lk.open("last")
        <Run ...-conv-ae-digits-...: finished>
        >>> lk.open("first")
        Traceback (most recent call last):
        latentkit.errors.UserError: there is no run 'first'...
    """
    return Run(RunFolder.open(find_run(os.fspath(path), Path(root))))


def list_runs(root: Path_ = RUNS) -> list[Run]:
    """Return the runs in a folder, sorted by name.

    Args:
        root: the folder of runs; if it does not exist, the list is empty.

    Returns:
        A list of runs, finished or not.

    Raises:
        latentkit.errors.IntegrityError: the manifest of a run cannot be read.

    Example:
        >>> import latentkit as lk
        >>> [run.status for run in lk.list_runs()]
        ['finished']
        >>> lk.list_runs("nowhere")
        []
    """
    return [Run(RunFolder.open(path)) for path in run_folders(Path(root))]


def compare(*paths: Path_) -> dict[str, Any]:
    """Compare runs: configurations, figures, and differences from the first run.

    Args:
        *paths: two or more runs: their folders, or other names of them that `open` accepts.

    Returns:
        ``runs``, ``config``, ``figures``, ``differences``, ``maps``. Every figure has its
        ``"value"`` and a 95 % interval from ``"low"`` to ``"high"``. If the test images are the
        same, differences are computed image by image (``"paired"``).

    Raises:
        latentkit.errors.UserError: there are fewer than two runs, some but not all are transfers,
            or one was evaluated with another protocol.

    Example:
        >>> import latentkit as lk
        >>> run = lk.open("last")
        >>> found = lk.compare(run.path, run.path)
        >>> found["differences"]["mse"][0]
        {'value': 0.0, 'standard_error': 0.0, 'low': 0.0, 'high': 0.0}
    """
    return compare_runs([RunFolder.open(find_run(os.fspath(path), RUNS)) for path in paths])
