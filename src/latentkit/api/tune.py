"""Studies in one call: a tuner chooses options, and each trial is a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentkit.api.places import STUDIES, data_dir
from latentkit.api.request import Path_, configure
from latentkit.api.study import Study, storage_url
from latentkit.config import DEFAULT_TUNER, choose_part
from latentkit.pipeline.context import ImageShelf
from latentkit.pipeline.studies.lifecycle import summarise_study, watched
from latentkit.pipeline.studies.outcome import finish_best, report_study, write_best_config
from latentkit.pipeline.studies.search import Search, prepared
from latentkit.pipeline.studies.workers import Follower, work_together
from latentkit.plugin.events import Listener, StudyStarted, ignore
from latentkit.plugin.options import SearchDomain
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.tuning.advice import advice
from latentkit.tuning.folder import STUDY, StudyFolder, StudyPlan, check_study_name, find_study
from latentkit.tuning.goals import choose_goals
from latentkit.tuning.ranges import parse_search
from latentkit.tuning.space import search_space
from latentkit.tuning.urls import public_url

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
        objective: the validation loss, or figures of the evaluation card on validation images,
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
        workers: number of processes on this machine that run trials.
        storage: SQLAlchemy URL of a database that workers on several machines share. By default
            ``LATENTKIT_STORAGE`` (ignored for a study stored in its own folder), the URL stored
            in the study, or a file in its folder.
        resume: folder or name of a study to resume with its stored settings.
        finish: complete the best trial's run (latents, evaluation card, report) at the end.
        out: the folder of studies.
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
    registry = default_registry()
    shelf = ImageShelf()
    if resume is not None:
        folder, url = _gone_on_with(os.fspath(resume), Path(out), trials, storage, data)
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
        searcher = tuner or registry.default_name("tuner", DEFAULT_TUNER)
        part = choose_part(registry, "tuner", {"name": searcher, **(tuner_options or {})})
        plan = StudyPlan(
            name=f"{base.model.slug}-{base.dataset.slug}" if name is None else name,
            config=replace(base, embeddings=()).as_dict(),
            space=search_space(base, registry, _domains(search or {}), [*fix, *(options or {})]),
            objectives=tuple(goal.name for goal in choose_goals(_listed(objective))),
            tuner=part.as_dict(),
            data_dir=str(data_dir(data)),
        )
        folder, url = _begun(plan, Path(out), trials, storage, registry, shelf)
    return _carry_out(Search(folder, registry, listener, url, shelf), seconds, workers, finish)


def _begun(
    asked: StudyPlan,
    out: Path,
    trials: int | None,
    storage: str | None,
    registry: Registry,
    shelf: ImageShelf,
) -> tuple[StudyFolder, str | None]:
    """Create a study or resume the one of the same name; return it and its storage's URL.

    No folder is created before the storage has answered.
    """
    check_study_name(asked.name)
    path = out / asked.name
    known = StudyFolder.open(path).plan if (path / STUDY).exists() else None
    url = storage_url(storage, known)
    places = replace(
        asked,
        storage=public_url(url) or (known.storage if known else ""),
        trials=trials or (known.trials if known else _TRIALS),
    )
    plan = prepared(places, registry, shelf)
    Search(StudyFolder(path, plan), registry, ignore, url).result()
    return StudyFolder.begin(path, plan), url


def _gone_on_with(
    reference: str, out: Path, trials: int | None, storage: str | None, data: Path_ | None
) -> tuple[StudyFolder, str | None]:
    """Return an existing study, with the given changes to its plan, and its storage's URL."""
    folder = StudyFolder.open(find_study(reference, out))
    plan = folder.plan
    url = storage_url(storage, plan)
    changed = replace(
        plan,
        trials=trials or plan.trials,
        storage=public_url(url) if url else plan.storage,
        data_dir=str(data_dir(data)) if data else plan.data_dir,
    )
    return folder.continued(changed), url


def _carry_out(search: Search, seconds: float | None, workers: int, finish: bool) -> Study:
    """Run the missing trials, then write the best configuration, the report and the summary."""
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
    for notice in advice(plan):
        tell(notice)
    with watched(search) as summary:
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
        summary |= summarise_study(folder, result)
    return Study(folder, search.registry, search.storage)


def _domains(search: Mapping[str, SearchDomain | str]) -> dict[str, SearchDomain]:
    return {
        key: parse_search(f"{key}={domain}")[1] if isinstance(domain, str) else domain
        for key, domain in search.items()
    }


def _listed(objective: str | Sequence[str]) -> tuple[str, ...]:
    return (objective,) if isinstance(objective, str) else tuple(objective)
