"""Studies: a tuner chooses options, and each trial is a run of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from latentkit.api.handle import Run
from latentkit.api.places import STUDIES, data_dir
from latentkit.api.request import Path_, configure
from latentkit.config import choose_part
from latentkit.pipeline.context import ImageShelf
from latentkit.pipeline.studies.outcome import (
    best_run,
    finish_best,
    report_study,
    write_best_config,
)
from latentkit.pipeline.studies.search import Search, prepared
from latentkit.pipeline.studies.workers import Follower, work_together
from latentkit.plugin.events import Listener, Notice, StudyStarted, ignore
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.studies import StudyResult
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs.folder import RunFolder
from latentkit.tuning.folder import (
    BEST_CONFIG,
    REPORT,
    STUDY,
    StudyFolder,
    StudyPlan,
    check_study_name,
    find_study,
)
from latentkit.tuning.goals import choose_goals
from latentkit.tuning.ranges import parse_search
from latentkit.tuning.space import search_space

STORAGE_VARIABLE = "LATENTKIT_STORAGE"
_TRIALS = 10
_LATENT_DIM = "model.latent_dim"
_RECONSTRUCTION = ("loss", "mse", "psnr", "ssim")


class Study:
    """A study on disk: its folder, and what its storage holds at this moment.

    Get one from `latentkit.tune` or `latentkit.open_study`.
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
        """Its folder: ``study.json``, ``study.db``, ``best.toml``, ``report.html``, ``runs``."""
        return self._folder.path

    @property
    def plan(self) -> StudyPlan:
        """What is searched, for what, and by whom."""
        return self._folder.plan

    @cached_property
    def result(self) -> StudyResult:
        """Every trial, as read when first asked for.

        Raises:
            latentkit.errors.StorageError: the storage cannot be reached.
        """
        return self._search.result()

    @property
    def best_params(self) -> Mapping[str, Any]:
        """The options of the best completed trial; empty where none completed."""
        best = self.result.best
        return {} if best is None else best.params

    @property
    def best_run(self) -> Run | None:
        """The run of the best completed trial; None where none completed, or it is not here."""
        path = best_run(self._folder, self.result)
        return None if path is None else Run(RunFolder.open(path), self._registry)

    @property
    def best_config(self) -> Path:
        """A TOML file with which `latentkit.run` repeats the best trial."""
        return self.path / BEST_CONFIG

    @property
    def report(self) -> Path:
        """The study's page."""
        return self.path / REPORT

    def run(self, number: int) -> Run:
        """Return the run of a trial.

        Raises:
            latentkit.errors.UserError: it is not here.
        """
        return Run(RunFolder.open(self._folder.run_of(number)), self._registry)

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.path}>"


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
    tuner: str = "optuna",
    tuner_options: Mapping[str, Any] | None = None,
    name: str | None = None,
    workers: int = 1,
    storage: str | None = None,
    resume: Path_ | None = None,
    finish: bool = True,
    out: Path_ = STUDIES,
    data: Path_ | None = None,
    listener: Listener = ignore,
) -> Study:
    """Search for better options: each trial is a run, and the best one is made whole.

    What is searched are the options of model, corruptions and training that carry a range and are
    neither set nor fixed, and those in ``search``. A study of the same name in ``out`` is gone on
    with; so is a trial that was broken off.

    Args:
        model: as in `latentkit.run`, like ``dataset``, ``corrupt``, ``options``, ``epochs``,
            ``seed``, ``device``, ``config`` and ``data``.
        dataset: see ``model``.
        trials: finished trials after which the study is over, completed, pruned or failed; 10
            unless the study has another number already.
        seconds: no trial begins later than this.
        objective: the validation loss, or figures of the card on validation images, such as
            ``"mse"`` or ``"knn"``; several give a Pareto front, and then nothing is pruned.
        search: ``"part.key"`` to a `SearchRange`, a `SearchChoice`, or what ``--search`` takes
            after ``=``: ``"2..64:log"``, ``"relu,silu"``.
        fix: ``"part.key"`` that is not searched.
        corrupt: see ``model``.
        options: see ``model``; what is set is not searched.
        epochs: see ``model``.
        seed: see ``model``; the search follows from it too.
        device: see ``model``.
        config: see ``model``.
        tuner: a tuner's name.
        tuner_options: the tuner's options.
        name: of the study and its folder; ``<model>-<dataset>`` where None.
        workers: processes of this machine that run trials.
        storage: SQLAlchemy URL of a database that workers of several machines share; where None,
            that which the study has, and for a new one ``LATENTKIT_STORAGE``, or a file in its
            folder.
        resume: a study's folder or name: go on with it as it was begun.
        finish: make the best trial's run whole (latents, card, report) at the end.
        out: the folder of studies.
        data: see ``model``.
        listener: is called with the events of the study and of every trial's run.

    Raises:
        latentkit.errors.LatentkitError: of the kind that tells what is wrong.
    """
    registry = default_registry()
    shelf = ImageShelf()
    if resume is not None:
        folder = StudyFolder.open(find_study(os.fspath(resume), Path(out)))
        url = _storage_url(storage, folder.plan)
        folder = _resumed(folder, trials, url, data)
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
        name = f"{base.model.slug}-{base.dataset.slug}" if name is None else name
        check_study_name(name)
        path = Path(out) / name
        known = StudyFolder.open(path).plan if (path / STUDY).exists() else None
        url = _storage_url(storage, known)
        plan = StudyPlan(
            name=name,
            config=replace(base, embeddings=()).as_dict(),
            space=search_space(base, registry, _domains(search or {}), [*fix, *(options or {})]),
            objectives=tuple(goal.name for goal in choose_goals(_listed(objective))),
            tuner=choose_part(
                registry, "tuner", {"name": tuner, **(tuner_options or {})}
            ).as_dict(),
            data_dir=str(data_dir(data)),
            storage=_public(url) or (known.storage if known else ""),
            trials=trials or (known.trials if known else _TRIALS),
        )
        plan = prepared(plan, registry, shelf)
        Search(StudyFolder(path, plan), registry, ignore, url).result()
        folder = StudyFolder.begin(path, plan)
    return _carry_out(Search(folder, registry, listener, url, shelf), seconds, workers, finish)


def open_study(path: Path_, *, out: Path_ = STUDIES, storage: str | None = None) -> Study:
    """Open a study.

    Args:
        path: its folder, or its name in ``out``.
        out: the folder of studies.
        storage: URL with its password, where the study's own has one; else ``LATENTKIT_STORAGE``.

    Raises:
        latentkit.errors.UserError: there is no such study.
    """
    folder = StudyFolder.open(find_study(os.fspath(path), Path(out)))
    return Study(folder, default_registry(), _storage_url(storage, folder.plan))


def _storage_url(given: str | None, known: StudyPlan | None) -> str | None:
    """Return a storage's URL with its password; None for the study's own.

    A study whose record is a file of its folder keeps it, whatever the environment says.
    """
    if given or (known is not None and not known.storage):
        return given
    return os.environ.get(STORAGE_VARIABLE)


def _resumed(
    folder: StudyFolder, trials: int | None, url: str | None, data: Path_ | None
) -> StudyFolder:
    """Return a study with more trials or other places where they are given."""
    plan = folder.plan
    changed = replace(
        plan,
        trials=trials or plan.trials,
        storage=_public(url) if url else plan.storage,
        data_dir=str(data_dir(data)) if data else plan.data_dir,
    )
    return folder.continued(changed)


def _carry_out(search: Search, seconds: float | None, workers: int, finish: bool) -> Study:
    """Run the trials that are missing, and leave what comes of them."""
    folder, plan, tell = search.study, search.study.plan, search.tell
    goals = plan.goals
    tell(
        StudyStarted(
            study=plan.name,
            path=str(folder.path),
            trials=plan.trials,
            objectives=tuple(goal.label for goal in goals),
            maximised=tuple(goal.direction == "maximize" for goal in goals),
            workers=workers,
        )
    )
    for notice in _advice(plan):
        tell(notice)
    follower = Follower(tell)
    follower.look(search.result(), earlier=True)
    if workers == 1:
        result = search.work(seconds)
    else:
        result = work_together(search, follower, workers, seconds)
    write_best_config(search, result)
    if finish:
        finish_best(search, result, tell)
    report_study(search, result)
    return Study(folder, search.registry, search.storage)


def _advice(plan: StudyPlan) -> list[Notice]:
    notices = []
    if _LATENT_DIM in plan.space and set(plan.objectives) <= {*_RECONSTRUCTION}:
        notices.append(
            Notice(
                "latent-dim-searched",
                "more latent dimensions always reconstruct better, so the most of them will win: "
                "fix their number (-o model.latent_dim=16), or add an objective such as knn",
                "info",
            )
        )
    if len(plan.objectives) > 1:
        notices.append(
            Notice("not-pruned", "with several objectives every trial is run to its end", "info")
        )
    elif not plan.goals[0].term:
        notices.append(
            Notice(
                "not-pruned",
                f"objective {plan.objectives[0]!r} is measured at the end of a trial, so every "
                f"trial is run to its end",
                "info",
            )
        )
    return notices


def _domains(search: Mapping[str, SearchDomain | str]) -> dict[str, SearchDomain]:
    return {
        key: parse_search(f"{key}={domain}")[1] if isinstance(domain, str) else domain
        for key, domain in search.items()
    }


def _listed(objective: str | Sequence[str]) -> tuple[str, ...]:
    return (objective,) if isinstance(objective, str) else tuple(objective)


def _public(url: str | None) -> str:
    """Return a storage's URL without its password, as it may be written down."""
    if not url:
        return ""
    return re.sub(r"(//[^:/@]+):.*@", r"\1@", url)
