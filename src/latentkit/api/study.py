"""`Study`: the trials and results of a study, read from its folder and storage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from latentkit.api.handle import Run
from latentkit.api.places import STUDIES
from latentkit.api.request import Path_
from latentkit.api.shown import table, title
from latentkit.pipeline.studies.outcome import best_run
from latentkit.pipeline.studies.search import Search
from latentkit.plugin.events import ignore
from latentkit.plugin.studies import StudyResult, TrialRecord
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs.folder import RunFolder
from latentkit.tuning.folder import BEST_CONFIG, REPORT, StudyFolder, StudyPlan, find_study
from latentkit.tuning.urls import absolute_url

STORAGE_VARIABLE = "LATENTKIT_STORAGE"
_SHOWN = 20  # trials shown in a notebook


class Study:
    """A study on disk: its folder and the trials in its storage.

    `latentkit.tune` and `latentkit.open_study` return one. A notebook shows it as a table of its
    trials.

    Raises:
        latentkit.errors.StorageError: on access to trials, if the storage cannot be reached.

    Example:
        >>> import latentkit as lk
        >>> study = lk.open_study("conv-ae-digits")
        >>> [trial.state for trial in study.result.trials]
        ['complete', 'complete']
        >>> study.result.best.values  # the objective, here the validation loss: MSE per pixel
        (0...,)
        >>> sorted(study.best_params)
        ['model.activation', 'training.learning_rate']
        >>> study.best_run.status
        'finished'
        >>> study.best_config.name
        'best.toml'
    """

    def __init__(self, folder: StudyFolder, registry: Registry, storage: str | None = None) -> None:
        self._folder = folder
        self._registry = registry
        self._search = Search(folder, registry, ignore, storage)

    @property
    def name(self) -> str:
        """The study's name."""
        return self._folder.plan.name

    @property
    def path(self) -> Path:
        """The folder: ``study.json``, ``study.db``, ``best.toml``, ``report.html``, ``runs``."""
        return self._folder.path

    @property
    def plan(self) -> StudyPlan:
        """The search space, the objectives, the tuner and the base configuration."""
        return self._folder.plan

    @cached_property
    def result(self) -> StudyResult:
        """All trials, read once on first access.

        Raises:
            latentkit.errors.StorageError: the storage cannot be reached.
        """
        return self._search.result()

    @property
    def best_params(self) -> Mapping[str, Any]:
        """The options of the best completed trial; empty if none completed."""
        best = self.result.best
        return {} if best is None else best.params

    @property
    def best_run(self) -> Run | None:
        """The best completed trial's run; None if no trial completed or its run is not here."""
        path = best_run(self._folder, self.result)
        return None if path is None else Run(RunFolder.open(path), self._registry)

    @property
    def best_config(self) -> Path:
        """A TOML file for `latentkit.run` that repeats the best trial."""
        return self.path / BEST_CONFIG

    @property
    def report(self) -> Path:
        """The study's HTML report."""
        return self.path / REPORT

    def run(self, number: int) -> Run:
        """Return the run of a trial.

        Raises:
            latentkit.errors.UserError: the run is not in the study's folder.
        """
        return Run(RunFolder.open(self._folder.run_of(number)), self._registry)

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.path}>"

    def _repr_html_(self) -> str:
        """Return a table of the trials as HTML, best first."""
        result = self.result
        sign = -1 if result.directions[0] == "maximize" else 1
        trials = sorted(
            result.trials, key=lambda one: (not one.values, *(sign * v for v in one.values[:1]))
        )
        names = [goal.label for goal in self.plan.goals]
        states = [trial.state for trial in trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        rows = [_row(trial, len(names)) for trial in trials[:_SHOWN]]
        header = ("trial", "state", *names, "options")
        more = f", the first {_SHOWN} shown" if len(trials) > _SHOWN else ""
        return f"<div>{title(self.name, (counts or 'no trials') + more)}{table(rows, header)}</div>"


def _row(trial: TrialRecord, objectives: int) -> list[str]:
    values = [f"{value:.5g}" for value in trial.values] or [""] * objectives
    options = (
        f"{key.rpartition('.')[2]}={f'{value:.4g}' if isinstance(value, float) else value}"
        for key, value in trial.params.items()
    )
    return [str(trial.number), trial.state, *values, " ".join(options)]


def open_study(path: Path_, *, out: Path_ = STUDIES, storage: str | None = None) -> Study:
    """Open a study.

    Args:
        path: the study's folder, or its name in ``out``.
        out: the folder of studies.
        storage: URL of the study's database with the password, if it needs one; by default
            ``LATENTKIT_STORAGE``.

    Returns:
        The study; its trials are read on first access.

    Raises:
        latentkit.errors.UserError: there is no such study.

    Example:
        >>> import latentkit as lk
        >>> lk.open_study("conv-ae-digits")
        <Study conv-ae-digits: ...>
        >>> lk.open_study("conv-ae-digit")
        Traceback (most recent call last):
        latentkit.errors.UserError: there is no study 'conv-ae-digit'...
    """
    folder = StudyFolder.open(find_study(os.fspath(path), Path(out)))
    return Study(folder, default_registry(), storage_url(storage, folder.plan))


def storage_url(given: str | None, known: StudyPlan | None) -> str | None:
    """Return the URL of the trials' storage, or None to use the storage in the study's plan.

    ``LATENTKIT_STORAGE`` is ignored for a study whose trials are stored in its own folder.
    """
    url = given
    if not url and (known is None or known.storage):
        url = os.environ.get(STORAGE_VARIABLE)
    return absolute_url(url) if url else None
