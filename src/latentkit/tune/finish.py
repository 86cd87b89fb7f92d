"""The end of a study: the best configuration, the best run, the report, and plugins' hooks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from latentkit.atomic import write_bytes
from latentkit.config import RunConfig, build_config
from latentkit.errors import (
    IntegrityError,
    LatentkitError,
    LockedError,
    RunExistsError,
    describe_error,
    describe_os_error,
)
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.plugin.protocols import provides
from latentkit.plugin.studies import HasImportances, StudyResult, TrialRecord
from latentkit.reading import MOST_TOML, inside, read_inside
from latentkit.registry.catalogue import Registry
from latentkit.runs.context import ImageCache, StageContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.lifecycle import Place, notifier, resume_run, start_run
from latentkit.runs.manifest import NAME
from latentkit.runs.saved_config import stored_config
from latentkit.terminal import shell_command
from latentkit.tune.space import option_of
from latentkit.tune.study import Search
from latentkit.tune.study_folder import BEST_CONFIG, RUNS, StudyFolder, study_info, trial_name
from latentkit.tune.study_report import write_study_report
from latentkit.tune.trial import TrialKind
from latentkit.tune.trial_record import TRIALS

_SHOWN = 6
_HASH_LINE = "# SHA-256 of the lines below: "
_RETRAINED = "best"


def best_run(study: StudyFolder, result: StudyResult) -> Path | None:
    """Return the folder of the best trial's run, or of the run that was trained in its place."""
    best = result.best
    if best is None:
        return None
    names = (trial_name(best.number), _retrained(best))
    paths = (inside(study.path, f"{RUNS}/{name}") for name in names)
    return next((path for path in paths if (path / NAME).is_file()), None)


def check_run(search: Search, trial: TrialRecord, run: Path) -> None:
    """Refuse a run with other options than its trial, such as one whose folder was exchanged.

    Raises:
        IntegrityError: an option differs, or the run cannot be read.
    """
    asked = _config_of(search, trial)
    found = stored_config(RunFolder.open(run), search.registry)
    for key in (*trial.params, "training.epochs"):
        wanted, here = option_of(asked, key), None
        with suppress(KeyError):  # it has another model
            here = option_of(found, key)
        if here != wanted and wanted != "auto":  # a run stores what "auto" stands for
            raise IntegrityError(
                f"{run} is not the run of trial {trial.number}: its {key} is {here}, the trial's "
                f"is {wanted}; put the right folder in its place, or delete it"
            )


def write_best_config(search: Search, result: StudyResult) -> None:
    """Write ``best.toml``, so that ``latentkit run --config`` can repeat the best trial.

    Its first line is the hash of the others, so that damage is noticed.
    """
    if result.best is not None:
        content = _config_of(search, result.best).to_toml().encode()
        line = f"{_HASH_LINE}{hashlib.sha256(content).hexdigest()}\n"
        folder = search.study.path
        search.study.check_present()
        write_bytes(folder / BEST_CONFIG, line.encode() + content, root=folder)


def verified_best_config(study: StudyFolder) -> Path:
    """Return the path of ``best.toml``, which need not exist, after checking its hash.

    A study without ``trials.json`` is of an older version, which wrote no hash.

    Raises:
        IntegrityError: it is not what the study wrote, or cannot be read.
    """
    path = study.path / BEST_CONFIG
    try:
        line, _, rest = read_inside(study.path, BEST_CONFIG, MOST_TOML).partition(b"\n")
    except FileNotFoundError:
        return path
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {describe_os_error(error)}") from error
    intact = line.decode("ascii", "replace") == f"{_HASH_LINE}{hashlib.sha256(rest).hexdigest()}"
    if not intact and (study.path / TRIALS).exists():
        again = shell_command("tune", "--resume", study.path)
        raise IntegrityError(
            f"{path} is damaged: its SHA-256 differs; delete it, and '{again}' writes it again"
        )
    return path


def finish_best(search: Search, result: StudyResult, emit: Listener) -> Path | None:
    """Complete the best trial's run with latents, card and report; train it if it is not here.

    Returns:
        The run's folder; None if no trial completed, or if another process works on the run.

    Raises:
        IntegrityError: the run has other options than the trial.
    """
    best = result.best
    if best is None:
        return None
    search.study.check_present()
    data = Path(search.study.plan.data_dir)
    path = best_run(search.study, result)
    if path is not None:
        check_run(search, best, path)
    try:
        if path is not None:
            return resume_run(
                path, search.registry, emit, TrialKind(), data, image_cache=search.image_cache
            ).path
        where = best.notes.get("machine", "another machine")
        emit(
            Notice(
                "trained-anew",
                f"the run of trial {best.number} is on {where}: a new run with its options is "
                f"trained here",
                "info",
            )
        )
        place = Place(search.study.runs, data, _retrained(best), search.image_cache)
        with suppress(RunExistsError):  # another process made it while this one prepared
            return start_run(
                _config_of(search, best), search.registry, place, emit, TrialKind()
            ).path
        return place.runs / place.name
    except LockedError:
        emit(Notice("locked", "another process is finishing the best run", "info"))
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


def _contexts(search: Search, result: StudyResult) -> dict[int, StageContext]:
    """Return the runs of the best few trials, best first, without those that cannot be opened.

    Raises:
        IntegrityError: a run has other options than its trial.
    """
    chosen: list[TrialRecord] = list(result.front)
    if len(result.directions) == 1:
        sign = 1 if result.directions[0] == "minimize" else -1
        done = [trial for trial in result.trials if trial.state == "complete"]
        chosen = sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))
    found = {}
    for trial in chosen[:_SHOWN]:
        try:
            folder = RunFolder.open(search.study.run_of(trial.number))
            found[trial.number] = _context(
                folder, search.registry, search.study, search.image_cache
            )
        except LatentkitError:  # for example, the run is on another machine
            continue
        check_run(search, trial, folder.path)
    return found


def _context(
    folder: RunFolder, registry: Registry, study: StudyFolder, image_cache: ImageCache
) -> StageContext:
    return StageContext(
        stored_config(folder, registry),
        registry,
        Path(study.plan.data_dir),
        torch.device("cpu"),
        folder,
        ignore,
        image_cache,
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


@contextmanager
def watched(search: Search) -> Iterator[dict[str, Any]]:
    """Notify plugins that a study starts and, after the block, how it ended.

    Yields:
        The summary, which the block fills.
    """
    info, summary = study_info(search.study), dict[str, Any]()
    notify = partial(notifier(search.registry, search.emit), study=info)
    notify("latentkit_study_started")
    status, error = "failed", ""
    try:
        yield summary
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Exception as failure:
        error = describe_error(failure)
        raise
    finally:
        figures = summary if status == "finished" else {}
        notify("latentkit_study_finished", status=status, summary=figures, error=error)


def summarise_study(study: StudyFolder, result: StudyResult) -> dict[str, Any]:
    """Return the JSON summary that the hook `latentkit_study_finished` receives."""
    states = Counter(trial.state for trial in result.trials)
    summary: dict[str, Any] = {"trials": dict(states)}
    best = result.best
    if best is not None:
        run = best_run(study, result)
        labels = [goal.label for goal in study.plan.goals]
        summary |= {
            "best_trial": best.number,
            "best_values": dict(zip(labels, best.values, strict=True)),
            "best_params": dict(best.params),
            "best_run": None if run is None else str(run),
        }
    return summary
