"""Writes runs to MLflow's store, and finds them again.

Only `MlflowClient` is used and never MLflow's active run, so that a user's own run is not changed.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from latentkit.plugin import check_sqlite_files

RECORD = "mlflow.json"
_EXPERIMENT = "latentkit"
_SQLITE = "sqlite:///"
_PARENT = "mlflow.parentRunId"
_MOST_AT_ONCE = 100
_LONGEST = 5000  # characters of a value, which every MLflow store accepts
_FORBIDDEN = re.compile(r"[^\w.\- :/]")
_Entity = TypeVar("_Entity")


class Store:
    """A tracking server, file or database: ``MLFLOW_TRACKING_URI``, or MLflow's default."""

    def __init__(self) -> None:
        uri = mlflow.get_tracking_uri()
        if uri.startswith(_SQLITE):
            database = Path(uri.removeprefix(_SQLITE).partition("?")[0])
            check_sqlite_files(database)  # by default it lies in the current folder
        self._client = MlflowClient(uri)
        if uri.startswith(_SQLITE):
            # Two processes must not create the tables of a new database at the same time.
            with FileLock(f"{database}.lock"):
                self._experiment()

    def begin(
        self, folder: Path, name: str, tags: Mapping[str, str], parent: str | None = None
    ) -> str:
        """Create a run, write its id to ``folder``, and return the id."""
        tags = {"mlflow.source.name": "latentkit", "mlflow.source.type": "LOCAL", **tags}
        if parent is not None:
            tags[_PARENT] = parent
        made = self._client.create_run(self._experiment(), tags=_short(tags), run_name=name)
        run_id: str = made.info.run_id
        temporary = folder / f".{RECORD}.{os.getpid()}"
        temporary.write_text(json.dumps({"run_id": run_id}), encoding="utf-8")
        temporary.replace(folder / RECORD)
        return run_id

    def known(self, folder: Path) -> str | None:
        """Return the id of the MLflow run of ``folder``, or None if there is none."""
        try:
            run_id = json.loads((folder / RECORD).read_text(encoding="utf-8"))["run_id"]
            found = self._client.get_run(run_id)
        except (FileNotFoundError, ValueError, KeyError):
            return None
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # the store has changed
                return None
            raise
        return str(run_id) if found.info.lifecycle_stage == "active" else None

    def tagged(self, tag: str, value: str) -> str | None:
        """Return the id of the first run with a tag of this value, or None if there is none."""
        runs = self._client.search_runs(
            [self._experiment()], f"tags.`{tag}` = '{value}'", order_by=["start_time ASC"]
        )
        return str(runs[0].info.run_id) if runs else None

    def wake(self, run_id: str) -> None:
        """Set the status of a run to running, also if it has ended."""
        self._client.update_run(run_id, status="RUNNING")

    def options(self, run_id: str, options: Mapping[str, Any]) -> None:
        """Log options as parameters; an option that a resumed run has changed becomes a tag."""
        known = self._client.get_run(run_id).data.params
        texts = _short(options)
        new = [Param(_name(key), text) for key, text in texts.items() if _name(key) not in known]
        changed = {
            f"changed.{key}": text
            for key, text in texts.items()
            if known.get(_name(key), text) != text
        }
        for params in _portions(new):
            self._client.log_batch(run_id, params=params, synchronous=True)
        self.tags(run_id, changed)

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        texts = [RunTag(_name(key), text) for key, text in _short(tags).items()]
        for portion in _portions(texts):
            self._client.log_batch(run_id, tags=portion, synchronous=True)

    def figures(self, run_id: str, figures: Mapping[str, float], step: int) -> None:
        """Log numbers as metrics of one step."""
        now = int(time.time() * 1000)
        metrics = [Metric(_name(key), value, now, step) for key, value in figures.items()]
        for portion in _portions(metrics):
            self._client.log_batch(run_id, metrics=portion, synchronous=True)

    def last_step(self, run_id: str, figure: str) -> int:
        """Return the last step at which a metric was logged, or 0 if it was never logged."""
        history = self._client.get_metric_history(run_id, _name(figure))
        return max((metric.step for metric in history), default=0)

    def artefact(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artefacts."""
        self._client.log_artifact(run_id, str(path), folder)

    def end(self, run_id: str, status: str) -> None:
        """End a run; ``status`` is one of MLflow's, such as ``FINISHED``."""
        self._client.set_terminated(run_id, status)

    def _experiment(self) -> str:
        chosen = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if chosen:
            return chosen
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)  # another worker created it
        return str(found.experiment_id)


def _name(key: str) -> str:
    """Return a key with only the characters and the length that MLflow accepts."""
    return _FORBIDDEN.sub("_", key)[:250]


def _short(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value)[:_LONGEST] for key, value in values.items()}


def _portions(entities: Sequence[_Entity]) -> Iterator[Sequence[_Entity]]:
    for start in range(0, len(entities), _MOST_AT_ONCE):
        yield entities[start : start + _MOST_AT_ONCE]
