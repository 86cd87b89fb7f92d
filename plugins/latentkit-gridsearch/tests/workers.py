"""What the killed workers run; a module of its own, for other processes import it."""

from __future__ import annotations

import time

from latentkit.plugin import Budget, SearchRange, StudyTask
from latentkit_gridsearch.options import GridOptions, RandomOptions
from latentkit_gridsearch.tuner import build_grid, build_random

SPACE = {"x": SearchRange(0.0, 1.0), "y": SearchRange(1, 100)}
TUNERS = {
    "grid": (build_grid, GridOptions(points=10)),
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


def work(name, path, trials):
    tuner(name).optimize(objective, task(path), Budget(trials=trials))
