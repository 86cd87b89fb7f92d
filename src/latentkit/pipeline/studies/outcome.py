"""The results of a study: the best configuration, the best run, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from latentkit.config import RunConfig, build_config
from latentkit.errors import LatentkitError, LockedError
from latentkit.pipeline.context import ImageShelf, RunContext
from latentkit.pipeline.run import Place, resume_run, start_run
from latentkit.pipeline.stored import stored_config
from latentkit.pipeline.studies.pages import write_study_report
from latentkit.pipeline.studies.search import Search
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.plugin.protocols import provides
from latentkit.plugin.studies import HasImportances, StudyResult, TrialRecord
from latentkit.registry.catalogue import Registry
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import NAME
from latentkit.tuning.folder import BEST_CONFIG, StudyFolder, trial_name

_SHOWN = 6
_RETRAINED = "best"


def best_run(study: StudyFolder, result: StudyResult) -> Path | None:
    """Return the folder of the best trial's run, or of the run that was trained in its place."""
    best = result.best
    if best is None:
        return None
    paths = (study.run_of(best.number), study.runs / _retrained(best))
    return next((path for path in paths if (path / NAME).is_file()), None)


def write_best_config(search: Search, result: StudyResult) -> None:
    """Write ``best.toml``, so that ``latentkit run --config`` can repeat the best trial."""
    if result.best is not None:
        config = _config_of(search, result.best)
        write_bytes(search.study.path / BEST_CONFIG, config.to_toml().encode())


def finish_best(search: Search, result: StudyResult, tell: Listener) -> Path | None:
    """Complete the best trial's run with latents, card and report; train it if it is not here.

    Returns:
        The run's folder; None if no trial completed, or if another process works on the run.
    """
    best = result.best
    if best is None:
        return None
    data = Path(search.study.plan.data_dir)
    path = best_run(search.study, result)
    try:
        if path is not None:
            return resume_run(path, search.registry, tell, data, shelf=search.shelf).path
        where = best.notes.get("machine", "another machine")
        tell(
            Notice(
                "trained-anew",
                f"the run of trial {best.number} is on {where}: a new run with its options is "
                f"trained here",
                "info",
            )
        )
        place = Place(search.study.runs, data, _retrained(best), search.shelf)
        return start_run(_config_of(search, best), search.registry, place, tell).path
    except LockedError:
        tell(Notice("locked", "another process is finishing the best run", "info"))
        return None


def report_study(search: Search, result: StudyResult, *, svg: bool = False) -> Path:
    """Draw the study's figures and write its report; return the report's path."""
    study, goals = search.study, search.study.plan.goals
    importances: Mapping[str, float] = {}
    early: Mapping[str, float] = {}
    if provides(search.tuner, HasImportances):
        with search.fault():
            importances = search.tuner.importances(search.task)
            if result.early_epoch is not None:
                early = search.tuner.importances(search.task, result.early_epoch)
    return write_study_report(
        study.path,
        name=study.plan.name,
        result=result,
        space=study.plan.space,
        objectives=[goal.label for goal in goals],
        importances=importances,
        early_importances=early,
        best=_contexts(search, result),
        facts=_facts(search),
        svg=svg,
    )


def _contexts(search: Search, result: StudyResult) -> dict[int, RunContext]:
    """Return the runs of the best few trials, best first, without those that cannot be opened."""
    chosen: list[TrialRecord] = list(result.front)
    if len(result.directions) == 1:
        sign = 1 if result.directions[0] == "minimize" else -1
        done = [trial for trial in result.trials if trial.state == "complete"]
        chosen = sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))
    found = {}
    for trial in chosen[:_SHOWN]:
        try:
            folder = RunFolder.open(search.study.run_of(trial.number))
            found[trial.number] = _context(folder, search.registry, search.study, search.shelf)
        except LatentkitError:  # for example, the run is on another machine
            continue
    return found


def _context(
    folder: RunFolder, registry: Registry, study: StudyFolder, shelf: ImageShelf
) -> RunContext:
    return RunContext(
        stored_config(folder, registry),
        registry,
        Path(study.plan.data_dir),
        torch.device("cpu"),
        folder,
        ignore,
        shelf,
    )


def _facts(search: Search) -> list[tuple[str, str]]:
    plan, base = search.study.plan, search.base
    settings = sorted(f"{key}={value}" for key, value in plan.tuner.items() if key != "name")
    return [
        ("Model", base.model.name),
        ("Data set", base.dataset.name),
        *(
            [("Corruption", " + ".join(p.name for p in base.corruptions))]
            if base.corruptions
            else []
        ),
        ("Objective", ", ".join(goal.label for goal in plan.goals)),
        ("Tuner", " ".join([str(plan.tuner["name"]), *settings])),
        ("Seed", str(base.run.seed)),
    ]


def _config_of(search: Search, trial: TrialRecord) -> RunConfig:
    return build_config(search.base.as_dict(), search.registry, overrides=trial.params)


def _retrained(trial: TrialRecord) -> str:
    return f"{trial_name(trial.number)}-{_RETRAINED}"
