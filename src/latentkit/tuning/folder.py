"""A study's folder, with its plan, the runs of its trials and its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentkit.errors import IntegrityError, UserError, did_you_mean
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.seeds import short_stream_seed
from latentkit.plugin.studies import StudyTask
from latentkit.runs.commit import storage_error, write_json
from latentkit.tuning.goals import Goal, choose_goals
from latentkit.tuning.space import space_as_json, space_from_json, within

STUDY = "study.json"
DATABASE = "study.db"
BEST_CONFIG = "best.toml"
RUNS = "runs"
REPORT = "report.html"
_SCHEMA = 1


@dataclass(frozen=True)
class StudyPlan:
    """Everything that defines a study.

    Args:
        name: name of the study.
        config: the document of a run's configuration, whose options each trial overrides.
        space: the domains to search, by option.
        objectives: names of the goals.
        tuner: name and options of the tuner, as a table.
        data_dir: the folder of data sets.
        storage: URL without password; empty for a file in the study's folder.
        trials: number of finished trials after which the study is over.
        failures: number of failed trials in a row after which the study is stopped.
        first: options of the first trial, which are those of a run without a study.
    """

    name: str
    config: Mapping[str, Any]
    space: Mapping[str, SearchDomain]
    objectives: tuple[str, ...]
    tuner: Mapping[str, Any]
    data_dir: str
    storage: str = ""
    trials: int = 10
    failures: int = 5
    first: Mapping[str, Any] = field(default_factory=dict)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The goals of the study."""
        return choose_goals(self.objectives)

    def identity(self) -> dict[str, Any]:
        """Return what determines proposals and values of trials; everything else may change."""
        return {
            "config": dict(self.config),
            "space": space_as_json(self.space),
            "objectives": list(self.objectives),
            "tuner": {key: self.tuner[key] for key in sorted(self.tuner)},
        }

    def task(self, folder: Path, storage: str | None = None) -> StudyTask:
        """Return the task for the tuner.

        Args:
            folder: folder of the study.
            storage: URL with its password; None for the plan's own.

        Raises:
            UserError: the database should be in the folder, whose path cannot be in a URL.
        """
        if not (storage or self.storage) and "?" in str(folder.absolute()):
            raise UserError(
                f"{folder.absolute()} contains '?', which a storage's URL cannot have in a path: "
                f"choose another folder"
            )
        url = storage or self.storage or f"sqlite:///{(folder / DATABASE).absolute()}"
        return StudyTask(
            name=self.name,
            storage=url,
            space=self.space,
            directions=tuple(goal.direction for goal in self.goals),
            seed=short_stream_seed(int(self.config["seed"]), "study"),
            first=within(self.space, self.first),
            identity=json.dumps(self.identity(), sort_keys=True, default=str),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "schema": _SCHEMA,
            "name": self.name,
            **self.identity(),
            "data_dir": self.data_dir,
            "storage": self.storage,
            "trials": self.trials,
            "failures": self.failures,
            "first": dict(self.first),
        }


@dataclass(frozen=True)
class StudyFolder:
    """A study on disk.

    Args:
        path: the folder.
        plan: the plan that is stored in it.
    """

    path: Path
    plan: StudyPlan = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """Open a study.

        Raises:
            UserError: the folder contains no study.
            IntegrityError: its record cannot be read.
        """
        try:
            document = json.loads((path / STUDY).read_text(encoding="utf-8"))
            return cls(path, _plan(document))
        except FileNotFoundError:
            raise UserError(
                f"there is no study in {path}: 'latentkit studies' lists them"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path / STUDY} cannot be read: {error}") from error

    @classmethod
    def begin(cls, path: Path, plan: StudyPlan) -> StudyFolder:
        """Create the folder, or continue the study that is in it.

        Raises:
            UserError: the folder contains another study.
            StorageError: the folder cannot be written.
        """
        if (path / STUDY).exists():
            return cls.open(path).continued(plan)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error
        folder = cls(path, plan)
        folder._write()
        return folder

    def continued(self, plan: StudyPlan) -> StudyFolder:
        """Return the study with a new plan that keeps its trials valid.

        The new plan may change how many trials there are and where they are stored, for example.

        Raises:
            UserError: the new plan would lead to other trials.
        """
        differs = _difference(self.plan.identity(), plan.identity())
        if differs:
            raise UserError(
                f"study {self.plan.name!r} in {self.path} searches something else ({differs}): "
                f"choose another --name, or resume it: latentkit tune --resume {self.path}"
            )
        folder = replace(self, plan=plan)
        folder._write()
        return folder

    @property
    def runs(self) -> Path:
        """The folder of the trials' runs."""
        return self.path / RUNS

    def run_of(self, number: int) -> Path:
        """Return the folder of a trial's run."""
        return self.runs / trial_name(number)

    def _write(self) -> None:
        write_json(self.path / STUDY, self.plan.as_dict())


def check_study_name(name: str) -> None:
    """Refuse a name that is a path, because such a study would not be listed.

    Raises:
        UserError: the name is a path.
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise UserError(f"--name {name!r}: should be the name of a folder; --out sets where")


def trial_name(number: int) -> str:
    """Return the name of a trial's run."""
    return f"trial-{number:04d}"


def find_study(reference: str, root: Path) -> Path:
    """Return the folder of a study, given as its path or as its name in ``root``.

    Raises:
        UserError: there is no such study.
    """
    for path in (Path(reference), root / reference):
        if (path / STUDY).is_file():
            return path
    known = [path.name for path in study_folders(root)]
    raise UserError(
        f"there is no study {reference!r}{did_you_mean(reference, known)}, here or in {root}: "
        f"'latentkit studies' lists them"
    )


def study_folders(root: Path) -> list[Path]:
    """Return the folders in ``root`` that contain a study, sorted by name."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if (path / STUDY).is_file())


def _plan(document: Mapping[str, Any]) -> StudyPlan:
    if document["schema"] != _SCHEMA:
        raise ValueError(f"its schema is {document['schema']}, but this version reads {_SCHEMA}")
    return StudyPlan(
        name=document["name"],
        config=document["config"],
        space=space_from_json(document["space"]),
        objectives=tuple(document["objectives"]),
        tuner=document["tuner"],
        data_dir=document["data_dir"],
        storage=document["storage"],
        trials=document["trials"],
        failures=document["failures"],
        first=document["first"],
    )


def _difference(known: Any, here: Any, path: str = "") -> str:
    """Return the first difference between two JSON objects as text; empty if they are equal."""
    known, here = (json.loads(json.dumps(document)) for document in (known, here))
    if not isinstance(known, Mapping) or not isinstance(here, Mapping):
        if known == here:
            return ""
        return f"{path}: {_shown(known)} became {_shown(here)}"
    for key in (*known, *(key for key in here if key not in known)):
        found = _difference(known.get(key), here.get(key), f"{path}.{key}" if path else key)
        if found:
            return found
    return ""


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)
