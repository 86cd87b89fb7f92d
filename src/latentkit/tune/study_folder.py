"""A study's folder, with its plan, the URL of its storage, and the runs of its trials."""

from __future__ import annotations

import errno
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentkit import errors, trust
from latentkit.atomic import TEMPORARY_PREFIX, storage_error
from latentkit.config import canonical_sha256
from latentkit.folders import folders_with
from latentkit.hashed_json import read_hashed, write_hashed
from latentkit.plugin import SearchDomain, Split, StudyInfo, StudyTask, TrialInfo, short_stream_seed
from latentkit.plugin.studies import Direction
from latentkit.reading import check_no_links, inside
from latentkit.terminal import printable, shell_command
from latentkit.tune.goals import Goal, choose_goals
from latentkit.tune.space import space_as_json, space_from_json, within

STUDY = "study.json"
DATABASE = "study.db"
BEST_CONFIG = "best.toml"
RUNS = "runs"
REPORT = "report.html"
SPLITS: tuple[Split, ...] = ("train", "test")
_SCHEMA = 1
_SECONDS_OF_A_WRITE = 3600  # far more than a worker's temporary file lives


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
        storage: URL of the database, without password; empty for a file in the study's folder.
        trials: number of finished trials after which the study is over.
        failures: number of failed trials in a row after which the study is stopped.
        first: options of the first trial, which are those of a run without a study.
        images: `ImageData.digest` of the training and of the test images, by split; empty in a
            study of an early version.
        notes: what a user should know of the images, as `ImageData.notes`.
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
    images: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The goals of the study."""
        return choose_goals(self.objectives)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Whether each objective is minimised or maximised."""
        return tuple(goal.direction for goal in self.goals)

    @property
    def sha256(self) -> str:
        """The SHA-256 of name and identity: two studies with the same one have the same trials."""
        identity = json.dumps({"name": self.name, **self.identity()}, default=str)
        return canonical_sha256(json.loads(identity))

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
            storage: URL of the database, including its password; None for the plan's own.

        Raises:
            UserError: the database should be in the folder, whose path cannot be in a URL.
        """
        odd = re.search(r"\?|%[0-9A-Fa-f]{2}", str(folder.absolute()))
        if not (storage or self.storage) and odd:
            raise errors.UserError(
                f"{folder.absolute()} contains {odd[0]!r}, which a storage URL cannot have in its "
                f"path: choose another folder"
            )
        url = storage or self.storage or f"sqlite:///{(folder / DATABASE).absolute()}"
        return StudyTask(
            name=self.name,
            storage=url,
            space=self.space,
            directions=self.directions,
            seed=short_stream_seed(int(self.config["seed"]), "study"),
            first=within(self.space, self.first),
            identity=json.dumps(self.identity(), sort_keys=True, default=str),
            trusted=bool(storage) or (not self.storage and trust.is_sealed(folder)),
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
            **({"images": dict(self.images)} if self.images else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
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

        The path is made absolute, so that changing the working directory does not move the study.

        Raises:
            UserError: the folder contains no study.
            IntegrityError: its record cannot be read, or is damaged.
        """
        path = path.absolute()
        try:
            return cls(path, _plan(read_hashed(path, STUDY, older=_KEYS)))
        except FileNotFoundError:
            raise errors.UserError(
                f"there is no study in {path}: 'latentkit studies' lists them"
            ) from None
        except (ValueError, TypeError, OverflowError) as error:
            raise errors.IntegrityError(f"{path / STUDY} cannot be read: {error}") from error

    @classmethod
    def begin(cls, path: Path, plan: StudyPlan) -> StudyFolder:
        """Create the folder, or continue the study that is in it.

        Raises:
            UserError: the folder contains another study, or other files.
            IntegrityError: it contains links.
            StorageError: the folder cannot be written.
        """
        path = path.absolute()
        if holds_study(path):
            return cls.open(path).continued(plan)
        check_free(path)
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
            DataError: the images are others than those that the study began with.
            IntegrityError: the folder contains links, through which files elsewhere would change.
        """
        try:
            check_no_links(self.path)
        except OSError as error:
            raise storage_error(self.path, error) from error
        differs = _difference(self.plan.identity(), plan.identity())
        if differs:
            raise errors.UserError(
                f"study {self.plan.name!r} in {self.path} searches something else ({differs}): "
                f"choose another --name, or resume it: "
                f"{shell_command('tune', '--resume', self.path)}"
            )
        self.check_images(plan.images)
        self._sweep()
        # A study of an early version does not know on which images its trials were measured.
        folder = replace(self, plan=replace(plan, images=self.plan.images))
        folder._write()
        return folder

    def check_images(self, images: Mapping[str, str]) -> None:
        """Refuse images other than those that the study began with.

        Args:
            images: their digests, as in `StudyPlan`.

        Raises:
            DataError: the training or the test images differ.
        """
        for split, known in self.plan.images.items():
            if images[split] != known:
                raise errors.DataError(
                    f"the {split} images are not those that study {self.plan.name!r} began with, "
                    f"so its trials could not be compared: restore them, or start a new study with "
                    f"--name"
                )

    @property
    def runs(self) -> Path:
        """The folder of the trials' runs."""
        return self.path / RUNS

    def run_of(self, number: int) -> Path:
        """Return the folder of a trial's run.

        Raises:
            IntegrityError: it, or the folder of runs, is a link.
        """
        return inside(self.path, f"{RUNS}/{trial_name(number)}")

    def check_present(self) -> None:
        """Refuse to write to a study that was deleted, because that would make its folder again.

        Raises:
            StorageError: the folder does not hold the study any more.
        """
        if not holds_study(self.path):
            raise errors.StorageError(
                f"{self.path} was deleted while it was written: nothing is saved there"
            )

    def _sweep(self) -> None:
        """Remove temporary files of killed writers; those of others are younger."""
        with suppress(OSError):  # they are in nobody's way
            for path in self.path.glob(f"{TEMPORARY_PREFIX}*"):
                if time.time() - path.lstat().st_mtime > _SECONDS_OF_A_WRITE:
                    path.unlink()

    def _write(self) -> None:
        write_hashed(self.path / STUDY, self.plan.as_dict())


def trial_name(number: int) -> str:
    """Return the name of a trial's run."""
    return f"trial-{number:04d}"


def holds_study(folder: Path) -> bool:
    """Return whether a folder has an entry ``study.json``, of any kind.

    A folder that cannot be searched counts as one that does: opening it then says what is wrong.
    """
    try:
        (folder / STUDY).lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        return False
    except OSError as error:
        return error.errno not in (errno.ENAMETOOLONG, errno.ELOOP)
    return True


def check_free(path: Path) -> None:
    """Refuse to create a study among other files.

    Raises:
        UserError: the path is a file, or a folder that is not empty or cannot be read.
    """
    try:
        names = [entry.name for entry in path.iterdir()]
    except FileNotFoundError:
        return
    except OSError as error:
        reason = errors.describe_os_error(error)
        raise errors.UserError(f"{path} cannot hold a study: {reason}") from error
    kept = (name for name in names if not name.startswith(TEMPORARY_PREFIX))
    found = sorted(kept, key=lambda name: (name.startswith("."), name))  # hidden ones last
    if found:
        raise errors.UserError(
            f"{path} holds no study but other files, such as {printable(found[0])}: choose "
            f"another --name, or move the files away"
        )


def find_study(reference: str, root: Path) -> Path:
    """Return the absolute folder of a study, given as its path or as its name in ``root``.

    Raises:
        UserError: there is no such study.
    """
    for path in (Path(reference), root / reference):
        if holds_study(path):
            return path.absolute()
    known = [path.name for path in study_folders(root)]
    raise errors.UserError(
        f"there is no study {reference!r}{errors.did_you_mean(reference, known)}, here or in "
        f"{root}: 'latentkit studies' lists them"
    )


def study_folders(root: Path) -> list[Path]:
    """Return the folders in ``root`` that contain a study, readable or not, sorted by name.

    Raises:
        UserError: ``root`` cannot be read.
    """
    return folders_with(STUDY, root, lambda folder, _: holds_study(folder))


_TYPES: Mapping[str, type] = {
    "name": str,
    "config": Mapping,
    "space": Mapping,
    "objectives": list,
    "tuner": Mapping,
    "data_dir": str,
    "storage": str,
    "trials": int,
    "failures": int,
    "first": Mapping,
}
"""The fields of ``study.json``."""
_KEYS = frozenset({"schema", *_TYPES})


def _check_document(document: Mapping[str, Any]) -> None:
    """Refuse a document that is no study's plan.

    Raises:
        ValueError: it has an unknown schema, or a field is missing.
        TypeError: a field has the wrong type.
    """
    if document.get("schema") != _SCHEMA:
        schema = document.get("schema")
        raise ValueError(f"its schema is {schema}, but this version of latentkit reads {_SCHEMA}")
    for name, kind in _TYPES.items():
        if name not in document:
            raise ValueError(f"the file has no key {name!r}")
        if not isinstance(document[name], kind) or isinstance(document[name], bool):
            raise TypeError(f"key {name!r} has the wrong type")
    for key, domain in document["space"].items():
        if not isinstance(domain, Mapping):
            raise TypeError(f"the range of {key!r} is not a JSON object")
        ends = [domain.get(end, 0) for end in ("low", "high", "step")]
        if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
            raise TypeError(f"the range of {key!r} has an end that is not a number")
        if domain.get("step", 1) <= 0:
            raise ValueError(f"the range of {key!r} has no positive step")
        if not isinstance(domain.get("values", []), list):
            raise TypeError(f"the values of {key!r} are not a list")
    if not all(isinstance(name, str) for name in document["objectives"]):
        raise TypeError("key 'objectives' is not a list of names")
    if not isinstance(document["config"].get("seed"), int):
        raise TypeError("key 'config' has no seed")
    if not isinstance(document["tuner"].get("name"), str):
        raise TypeError("key 'tuner' has no name")
    images = document.get("images", {})
    if not isinstance(images, Mapping) or set(images) not in (set(), set(SPLITS)):
        raise TypeError("key 'images' does not have the digests of training and test images")
    notes = document.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise TypeError("key 'notes' is not a list of texts")


def _plan(document: Mapping[str, Any]) -> StudyPlan:
    _check_document(document)
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
        images=document.get("images", {}),
        notes=tuple(document.get("notes", ())),
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


_TRIAL = re.compile(r"trial-(\d{4,})(-\w+)?")


def study_info(study: StudyFolder) -> StudyInfo:
    """Return the facts about a study that plugins receive."""
    plan = study.plan
    return StudyInfo(
        name=plan.name,
        path=study.path,
        identity=plan.sha256,
        trials=plan.trials,
        objectives=tuple(goal.label for goal in plan.goals),
        directions=plan.directions,
        space=plan.space,
        tuner=plan.tuner,
        config=plan.config,
        storage=plan.storage,
    )


def is_trial(run: Path) -> bool:
    """Return whether a run's folder is in a study's folder of runs and named as a trial."""
    run = run.absolute()
    named = _TRIAL.fullmatch(run.name) and run.parent.name == RUNS
    return bool(named) and (run.parent.parent / STUDY).is_file()


def trial_of(run: Path, value: Callable[[str], Any]) -> TrialInfo | None:
    """Return which trial a run is; None if it does not belong to a study.

    A trial is recognised by its folder, which is in a study's folder of runs, so it does not
    matter who starts or resumes it.

    Args:
        run: the run's folder.
        value: takes the name of an option, ``"part.option"``, and returns its value in the run.
    """
    home, named = run.absolute().parent.parent, _TRIAL.fullmatch(run.name)
    if named is None or not is_trial(run):
        return None
    try:
        study = StudyFolder.open(home)
        params = {key: value(key) for key in study.plan.space}
    except (
        errors.LatentkitError,
        KeyError,
    ):  # the study is damaged or another: treat the run as no trial
        return None
    return TrialInfo(study_info(study), int(named[1]), params)
