"""Logs runs and studies as MLflow runs; the run of a trial is a child of its study's run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentkit.errors import UserError
from latentkit.plugin import EpochFinished, RunInfo, StudyInfo, flat_figures, flat_options
from latentkit_mlflow.patience import within
from latentkit_mlflow.store import Store

_STATUSES = {"finished": "FINISHED", "failed": "FAILED"}  # any other status becomes KILLED
_STUDY_TAG = "latentkit.study_sha256"
_SECONDS = 60.0
_LONGEST = 200
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass
class _Followed:
    """A run that is being logged: its MLflow id, and the last logged epoch."""

    run_id: str
    epoch: int = 0


class Following:
    """The runs and studies that this process logs.

    If logging fails, it raises one error. The run, or the study with all its trials, is not logged
    any further; latentkit turns the error into a notice and continues the run.
    """

    def __init__(self) -> None:
        self._runs: dict[Path, _Followed] = {}
        self._given_up: set[Path] = set()

    def study_started(self, study: StudyInfo) -> None:
        """Start or resume the parent run of a study's trials."""
        self._given_up.discard(_key(study.path))
        self._try(study.path, lambda store: store.wake(_parent(store, study)))

    def study_finished(
        self, study: StudyInfo, status: str, summary: Mapping[str, Any], error: str
    ) -> None:
        """Log the options and values of the best trial, and end the parent run."""

        def log(store: Store) -> None:
            run_id = _parent(store, study)
            states = {f"trials/{k}": float(v) for k, v in summary.get("trials", {}).items()}
            best = {f"best/{k}": v for k, v in summary.get("best_values", {}).items()}
            store.figures(run_id, states | best, step=sum(map(int, states.values())))
            told = {f"best.{k}": str(v) for k, v in summary.get("best_params", {}).items()}
            if "best_trial" in summary:
                told["latentkit.best_trial"] = str(summary["best_trial"])
            store.tags(run_id, told | _outcome(status, error))
            if "report" in _artefacts() and (study.path / "report.html").is_file():
                store.artefact(run_id, study.path / "report.html")
            store.end(run_id, _STATUSES.get(status, "KILLED"))

        self._try(study.path, log)

    def run_started(self, run: RunInfo) -> None:
        """Start an MLflow run, or resume that of a resumed run."""
        if run.trial is None:
            self._given_up.discard(_key(run.path))
        self._try(_scope(run), lambda store: self._begin(store, run))

    def epoch_finished(self, run: RunInfo, epoch: EpochFinished) -> None:
        """Log an epoch, unless it is already logged: a killed run may train an epoch again."""
        followed = self._runs.get(_key(run.path))
        if followed is None or epoch.epoch <= followed.epoch:
            return
        figures = {f"train/{term}": value for term, value in epoch.train.items()}
        figures |= {f"validation/{term}": value for term, value in epoch.validation.items()}
        figures |= {"learning_rate": epoch.learning_rate, "seconds": epoch.seconds}
        followed.epoch = epoch.epoch
        self._try(_scope(run), lambda store: store.figures(followed.run_id, figures, epoch.epoch))

    def run_finished(
        self, run: RunInfo, status: str, summary: Mapping[str, Any], error: str
    ) -> None:
        """Log the numbers of the evaluation card and the requested artefacts, and end the run."""
        followed = self._runs.pop(_key(run.path), None)
        if followed is None:
            return

        def log(store: Store) -> None:
            figures = {f"card/{key}": value for key, value in flat_figures(summary).items()}
            store.figures(followed.run_id, figures, int(summary.get("epochs", followed.epoch)))
            store.tags(followed.run_id, _outcome(status, error))
            if status == "finished":
                _copy_artefacts(store, followed.run_id, run.path)
            store.end(followed.run_id, _STATUSES.get(status, "KILLED"))

        self._try(_scope(run), log)

    def _begin(self, store: Store, run: RunInfo) -> None:
        run_id = store.known(run.path)
        if run_id is None:
            parent = None if run.trial is None else _parent_of_trial(store, run.trial.study)
            run_id = store.begin(run.path, _name(run), _tags(run), parent)
        else:
            store.wake(run_id)
        store.options(run_id, flat_options(run.config))
        self._runs[_key(run.path)] = _Followed(run_id, store.last_step(run_id, "learning_rate"))

    def _try(self, scope: Path, log: Callable[[Store], object]) -> None:
        """Call ``log``, unless logging of this scope has already failed.

        Raises:
            UserError: logging fails; nothing more is logged for this scope.
        """
        if _key(scope) in self._given_up:
            return
        try:
            within(_patience(), lambda: log(Store()))
        except Exception as error:
            self._given_up.add(_key(scope))
            first = _CREDENTIALS.sub("", " ".join(str(error).split()) or type(error).__name__)
            short = first if len(first) <= _LONGEST else f"{first[:_LONGEST]}..."
            raise UserError(
                f"stopped logging {scope.name} to MLflow, because it failed ({short}): correct "
                f"MLFLOW_TRACKING_URI, or set LATENTKIT_MLFLOW=off"
            ) from error


FOLLOWING = Following()


def _key(path: Path) -> Path:
    return path.absolute()


def _scope(run: RunInfo) -> Path:
    return run.path if run.trial is None else run.trial.study.path


def _parent(store: Store, study: StudyInfo) -> str:
    """Return the id of a study's parent run; create the run if it does not exist."""
    known = _known_parent(store, study)
    if known is not None:
        return known
    tags = {"latentkit.study": str(study.path.absolute()), _STUDY_TAG: study.identity}
    run_id = store.begin(study.path, study.name, tags)
    searched = {f"search.{key}": domain for key, domain in study.space.items()}
    tuner = {f"tuner.{key}": value for key, value in study.tuner.items()}
    objectives = dict(zip(study.objectives, study.directions, strict=True))
    options = flat_options(study.config) | searched | tuner
    store.options(run_id, {**options, "objectives": objectives})
    return run_id


def _parent_of_trial(store: Store, study: StudyInfo) -> str:
    """Return the id of the parent run of a trial.

    If a trial is resumed on its own, the parent may not exist. It is then created and ended.
    """
    known = _known_parent(store, study)
    if known is not None:
        return known
    run_id = _parent(store, study)
    store.end(run_id, "FINISHED")
    return run_id


def _known_parent(store: Store, study: StudyInfo) -> str | None:
    """Return the id of the parent run that this machine, or another worker, has created."""
    known = store.known(study.path)
    if known is None and study.storage:
        known = store.tagged(_STUDY_TAG, study.identity)
    return known


def _name(run: RunInfo) -> str:
    return run.id if run.trial is None else f"{run.trial.study.name} {run.id}"


def _tags(run: RunInfo) -> dict[str, str]:
    tags = {
        "latentkit.run": str(run.path.absolute()),
        "latentkit.config_sha256": run.config_sha256,
        **{f"latentkit.version.{name}": version for name, version in run.versions.items()},
    }
    if run.trial is not None:
        tags["latentkit.trial"] = str(run.trial.number)
        tags[f"{_STUDY_TAG}_of_trial"] = run.trial.study.identity
    return tags


def _outcome(status: str, error: str) -> dict[str, str]:
    return {"latentkit.status": status, "latentkit.error": error}


def _artefacts() -> set[str]:
    asked = os.environ.get("LATENTKIT_MLFLOW_ARTEFACTS", "")
    return {word.strip() for word in asked.split(",")}


def _copy_artefacts(store: Store, run_id: str, path: Path) -> None:
    asked = _artefacts()
    if "report" in asked and (path / "report.html").is_file():
        store.artefact(run_id, path / "report.html")
    if "figures" in asked:
        for figure in sorted((path / "figures").glob("*.png")):
            store.artefact(run_id, figure, "figures")


def _patience() -> float:
    try:
        return float(os.environ.get("LATENTKIT_MLFLOW_TIMEOUT", _SECONDS))
    except ValueError:
        return _SECONDS
