"""`Study`, and studies in one call: a tuner chooses options, and each trial is a run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from latentkit import trust
from latentkit.api.inputs import STUDIES, Path_, configure, data_dir, runs_dir
from latentkit.api.notebook_html import table, title
from latentkit.api.run_handle import Run
from latentkit.config import DEFAULT_TUNER, RunConfig, choose_part
from latentkit.errors import LatentkitError, UserError
from latentkit.plugin import SearchDomain, StudyResult, TrialRecord
from latentkit.plugin.database_urls import public_url
from latentkit.plugin.events import Listener, Notice, StudyStarted, ignore
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs.context import ImageCache
from latentkit.runs.folder import RunFolder, check_folder_name
from latentkit.runs.initial_weights import find_weights
from latentkit.runs.manifest import NAME
from latentkit.terminal import printable
from latentkit.tune import storage_url as storage_urls
from latentkit.tune import study_folder
from latentkit.tune.advice import advice
from latentkit.tune.finish import (
    best_run,
    check_run,
    finish_best,
    report_study,
    summarise_study,
    verified_best_config,
    watched,
    write_best_config,
)
from latentkit.tune.goals import choose_goals
from latentkit.tune.space import parse_search, search_space
from latentkit.tune.study import Search, prepared
from latentkit.tune.workers import Follower, work_together

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

    def __init__(
        self, folder: study_folder.StudyFolder, registry: Registry, storage: str | None = None
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._search = Search(folder, registry, ignore, storage)

    @property
    def name(self) -> str:
        """The study's name."""
        return self._folder.plan.name

    @property
    def path(self) -> Path:
        """The study's folder.

        It holds ``study.json``, ``study.db``, ``trials.json``, ``best.toml``, ``report.html`` and
        ``runs``. It is absolute.
        """
        return self._folder.path

    @property
    def plan(self) -> study_folder.StudyPlan:
        """The search space, the objectives, the tuner and the base configuration."""
        return self._folder.plan

    @cached_property
    def result(self) -> StudyResult:
        """All trials, read once on first access.

        Raises:
            latentkit.errors.StorageError: the storage cannot be reached.
            latentkit.errors.IntegrityError: a trial differs from the one that was recorded.
        """
        return self._search.result()

    @property
    def best_params(self) -> Mapping[str, Any]:
        """The options of the best completed trial; empty if none completed."""
        best = self.result.best
        return {} if best is None else best.params

    @property
    def best_run(self) -> Run | None:
        """The best completed trial's run; None if no trial completed or its run is not here.

        Raises:
            latentkit.errors.IntegrityError: its folder is a link, or holds another trial's run.
        """
        best, path = self.result.best, best_run(self._folder, self.result)
        if best is None or path is None:
            return None
        check_run(self._search, best, path)
        return Run(RunFolder.open(path), self._registry)

    @property
    def best_config(self) -> Path:
        """A TOML file for `latentkit.run` that repeats the best trial.

        Raises:
            latentkit.errors.IntegrityError: it is not what the study wrote.
        """
        return verified_best_config(self._folder)

    @property
    def report(self) -> Path:
        """The study's HTML report."""
        return self.path / study_folder.REPORT

    def run(self, number: int) -> Run:
        """Return the run of a trial.

        Raises:
            latentkit.errors.UserError: the run is not in the study's folder.
            latentkit.errors.IntegrityError: its folder is a link.
        """
        return Run(RunFolder.open(self._folder.run_of(number)), self._registry)

    def __repr__(self) -> str:
        return printable(f"<Study {self.name}: {self.path}>")

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
        storage: URL of the study's database, including its password if it has one, or ``@FILE``
            for a file that holds it; by default the environment variable ``LATENTKIT_STORAGE``.
            A database that the study's folder names is only used if you named it before.

    Returns:
        The study; its trials are read on first access.

    Raises:
        latentkit.errors.UserError: there is no such study, or its storage is at an address that
            you have not named before.
        latentkit.errors.IntegrityError: its ``study.json`` is damaged.

    Example:
        >>> import latentkit as lk
        >>> lk.open_study("conv-ae-digits")
        <Study conv-ae-digits: ...>
        >>> lk.open_study("conv-ae-digit")
        Traceback (most recent call last):
        latentkit.errors.UserError: there is no study 'conv-ae-digit'...
    """
    found = study_folder.find_study(os.fspath(path), Path(out).expanduser())
    folder = study_folder.StudyFolder.open(found)
    return Study(folder, default_registry(), storage_url(storage, folder.plan))


def storage_url(given: str | None, known: study_folder.StudyPlan | None) -> str | None:
    """Return the URL of the trials' storage, or None to use the storage in the study's plan.

    ``LATENTKIT_STORAGE`` is ignored for a study whose trials are stored in its own folder.
    """
    text = given
    if not text and (known is None or known.storage):
        text = os.environ.get(STORAGE_VARIABLE)
    return storage_urls.given_url(text) if text else None


_TRIALS = 10


def tune(
    *,
    model: str | None = None,
    dataset: str | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    objective: str | Sequence[str] = (),
    search: Mapping[str, SearchDomain | str] | None = None,
    fix: Iterable[str] = (),
    corrupt: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    config: Path_ | Mapping[str, Any] | None = None,
    tuner: str | None = None,
    tuner_options: Mapping[str, Any] | None = None,
    name: str | None = None,
    workers: int = 1,
    storage: str | None = None,
    resume: Path_ | None = None,
    finish: bool = True,
    out: Path_ = STUDIES,
    runs: Path_ | None = None,
    data: Path_ | None = None,
    listener: Listener = ignore,
) -> Study:
    """Search for better options: each trial is a run, and the best run is completed.

    The search covers the options in ``search``, and all options of the model, the corruptions and
    training that have a search range and are neither set nor fixed. A study of the same name in
    ``out`` is resumed, and so are its interrupted trials.

    Args:
        model: as in `latentkit.run`, like ``dataset``, ``corrupt``, ``options``, ``epochs``,
            ``seed``, ``device``, ``config`` and ``data``.
        dataset: see ``model``.
        trials: number of finished trials (completed, pruned or failed) that ends the study; by
            default the number stored in the study, or 10 for a new one.
        seconds: no trial starts later than this.
        objective: the validation loss, or results of the evaluation card on validation images,
            such as ``"mse"`` or ``"knn"``; several give a Pareto front, without pruning.
        search: by ``"part.key"``, a `SearchRange`, a `SearchChoice`, or the text that
            ``--search`` takes after ``=``, such as ``"2..64:log"`` or ``"relu,silu"``.
        fix: each ``"part.key"`` that is not searched.
        corrupt: see ``model``.
        options: see ``model``; these options are not searched.
        epochs: see ``model``.
        seed: see ``model``; it also seeds the search.
        device: see ``model``.
        config: see ``model``.
        tuner: a tuner's name; by default ``"optuna"``.
        tuner_options: the tuner's options.
        name: name of the study and its folder; by default ``<model>-<dataset>``.
        workers: number of processes on this machine that run trials; there are never more than
            trials that are left.
        storage: SQLAlchemy URL of a database that workers on several machines share, or ``@FILE``
            for a file that holds it. By default ``LATENTKIT_STORAGE`` (ignored for a study stored
            in its own folder), the URL stored in the study if you named it before, or a file in
            its folder.
        resume: folder or name of a study to resume with its stored settings.
        finish: complete the best trial's run (latents, evaluation card, report) at the end.
        out: the folder of studies.
        runs: the folder of runs, in which a run that the configuration starts from is looked up; by
            default ``LATENTKIT_RUNS`` or ``./runs``.
        data: see ``model``.
        listener: called with the events of the study and of every trial's run.

    Returns:
        The study, with its trials and the options and run of the best one.

    Raises:
        latentkit.errors.LatentkitError: the search fails; the subclass gives the kind of error.

    Example:
        >>> import latentkit as lk
        >>> study = lk.tune(trials=2, epochs=1, options={"model.latent_dim": 3}, finish=False)
        >>> study.result.best.state, study.plan.trials
        ('complete', 2)
    """
    _check_limits(trials=trials, seconds=seconds, workers=workers)
    registry = default_registry()
    image_cache = ImageCache()
    studies = Path(out).expanduser()
    if resume is not None:
        folder, url = _gone_on_with(os.fspath(resume), studies, trials, storage, data)
    else:
        base = configure(
            registry,
            config=config,
            model=model,
            dataset=dataset,
            corrupt=corrupt,
            options=options,
            epochs=epochs,
            seed=seed,
            device=device,
        )
        base = _with_found_weights(base, runs_dir(runs))
        searcher = tuner or registry.default_name("tuner", DEFAULT_TUNER)
        part = choose_part(registry, "tuner", {"name": searcher, **(tuner_options or {})})
        plan = study_folder.StudyPlan(
            name=f"{base.model.slug}-{base.dataset.slug}" if name is None else name,
            config=replace(base, embeddings=()).as_dict(),
            space=search_space(base, registry, _domains(search or {}), [*fix, *(options or {})]),
            objectives=tuple(goal.name for goal in choose_goals(_listed(objective))),
            tuner=part.as_dict(),
            data_dir=str(data_dir(data)),
        )
        folder, url = _started_folder(plan, studies, trials, storage, registry, image_cache)
    return _carry_out(
        Search(folder, registry, listener, url, image_cache), seconds, workers, finish
    )


def _check_limits(**given: float | None) -> None:
    """Refuse numbers that limit nothing.

    Raises:
        UserError: a number is not more than 0, or not finite.
    """
    for name, number in given.items():
        if number is not None and not 0 < number < math.inf:
            raise UserError(f"{name}={number!r}: should be more than 0, and not infinite")


def _with_found_weights(base: RunConfig, runs: Path) -> RunConfig:
    """Replace the name of the run that the trials start from by the path of its weights.

    Trials cannot look the name up, because they have their own folder of runs. If a path is given,
    it is not changed, so that a second call with the same path resumes the first one's study.

    Raises:
        UserError: there is no such run.
    """
    if base.init is None:
        return base
    given = Path(base.init.path)
    if given.is_file() or (given / NAME).is_file():
        return base
    found = str(find_weights(base.init.path, runs).absolute())
    return replace(base, init=base.init.model_copy(update={"path": found}))


def _started_folder(
    asked: study_folder.StudyPlan,
    out: Path,
    trials: int | None,
    storage: str | None,
    registry: Registry,
    image_cache: ImageCache,
) -> tuple[study_folder.StudyFolder, str | None]:
    """Create a study or resume the one of the same name; return it and its storage's URL.

    No folder is created before the storage has answered.
    """
    check_folder_name(asked.name)
    path = (out / asked.name).absolute()
    if study_folder.holds_study(path):
        known = study_folder.StudyFolder.open(path).plan
    else:
        known = None
        study_folder.check_free(path)
    url = storage_url(storage, known)
    places = replace(
        asked,
        storage=public_url(url) or (known.storage if known else ""),
        trials=trials or (known.trials if known else _TRIALS),
    )
    plan = prepared(places, registry, image_cache)
    study = study_folder.StudyFolder(path, plan)
    Search(study, registry, ignore, url).result()
    storage_urls.allow_storage(url)
    begun = study_folder.StudyFolder.begin(path, plan)
    if known is None:
        trust.seal(path)
    return begun, url


def _gone_on_with(
    reference: str, out: Path, trials: int | None, storage: str | None, data: Path_ | None
) -> tuple[study_folder.StudyFolder, str | None]:
    """Return an existing study, with the given changes to its plan, and its storage's URL."""
    folder = study_folder.StudyFolder.open(study_folder.find_study(reference, out))
    plan = folder.plan
    url = storage_url(storage, plan)
    if url:
        storage_urls.allow_storage(url)
    elif plan.storage:
        storage_urls.check_allowed(plan.name, plan.storage)
    changed = replace(
        plan,
        trials=trials or plan.trials,
        storage=public_url(url) if url else plan.storage,
        data_dir=str(data_dir(data)) if data else plan.data_dir,
    )
    return folder.continued(changed), url


def _carry_out(search: Search, seconds: float | None, workers: int, finish: bool) -> Study:
    """Run the missing trials, then write the best configuration, the report and the summary."""
    folder, plan, emit = search.study, search.study.plan, search.emit
    goals = plan.goals
    search.base  # noqa: B018 (refuses an invalid configuration before the study is announced)
    emit(
        StudyStarted(
            study=plan.name,
            path=str(folder.path),
            trials=plan.trials,
            objectives=tuple(goal.label for goal in goals),
            maximised=tuple(goal.direction == "maximize" for goal in goals),
            workers=workers,
        )
    )
    for notice in advice(plan):
        emit(notice)
    with watched(search) as summary:
        follower = Follower(emit)
        earlier = search.result()
        follower.look(earlier, earlier=True)
        search.record(lambda: earlier, now=True)
        workers = _needed(workers, search.trials_left(earlier), emit)
        try:
            if workers == 1:
                result = search.work(seconds, records=True)
            else:
                result = work_together(search, follower, workers, seconds)
        except BaseException:
            with suppress(LatentkitError):
                search.record(search.stored, now=True)
            raise
        search.record(lambda: result, now=True)
        write_best_config(search, result)
        if finish:
            finish_best(search, result, emit)
        report_study(search, result)
        summary |= summarise_study(folder, result)
    return Study(folder, search.registry, search.storage)


def _needed(workers: int, trials: int, emit: Listener) -> int:
    """Return how many processes are needed for a number of trials: at least 1."""
    needed = max(1, min(workers, trials))
    if needed < workers and trials:
        left = f"{trials} trial{'s are' if trials > 1 else ' is'} left"
        emit(Notice("fewer-workers", f"{left}: {needed} of {workers} workers started", "info"))
    return needed


def _domains(search: Mapping[str, SearchDomain | str]) -> dict[str, SearchDomain]:
    return {
        key: parse_search(f"{key}={domain}")[1] if isinstance(domain, str) else domain
        for key, domain in search.items()
    }


def _listed(objective: str | Sequence[str]) -> tuple[str, ...]:
    return (objective,) if isinstance(objective, str) else tuple(objective)
