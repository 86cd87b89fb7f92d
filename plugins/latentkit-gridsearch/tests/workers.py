"""Code of the killed workers, in a separate module because other processes import it."""

from __future__ import annotations

import os
import time

from latentkit.plugin import Budget, SearchRange, StudyTask
from latentkit_gridsearch.options import GridOptions, RandomOptions
from latentkit_gridsearch.tuner import build_grid, build_random

SPACE = {"x": SearchRange(0.0, 1.0), "y": SearchRange(1, 100)}
TUNERS = {
    "grid": (build_grid, GridOptions(points=12)),
    "random": (build_random, RandomOptions()),
}


def task(path):
    return StudyTask("killed", f"sqlite:///{path}", SPACE, ("minimize",), seed=0)


def tuner(name):
    build, options = TUNERS[name]
    return build(options)


def objective(trial):
    trial.note("begun", True)
    time.sleep(0.05)
    trial.report(1, trial.params["x"])
    return (trial.params["x"],)


def work(name, path, trials, released=None):
    """Run a worker that writes a diary: a line a trial, with its number and the process id.

    If ``released`` is given, the last trial runs until that file exists.
    """

    def told(trial):
        while released and trial.number == trials - 1 and not released.exists():
            time.sleep(0.01)
        with path.with_suffix(".diary").open("a") as diary:
            diary.write(f"{trial.number} {os.getpid()}\n")
        return objective(trial)

    tuner(name).optimize(told, task(path), Budget(trials=trials))
