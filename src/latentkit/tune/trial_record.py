"""``trials.json``: the finished trials of a study, beside the storage of its tuner.

Lists of studies read it, so that they open no database. When the storage is opened, each finished
trial in it must be the one that was recorded here, so that damage to the storage is noticed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latentkit.errors import IntegrityError
from latentkit.hashed_json import read_hashed, write_hashed
from latentkit.plugin.studies import StudyResult, TrialRecord
from latentkit.reading import MOST_JSON
from latentkit.terminal import shell_command
from latentkit.tune.study_folder import DATABASE, StudyFolder

TRIALS = "trials.json"
_SCHEMA = 1
_FINISHED = ("complete", "pruned", "failed")
_COMPARED = ("state", "value", "params", "reports")
_ROOM = 4096  # bytes of trials.json besides its trials


def read_trials(study: StudyFolder) -> StudyResult | None:
    """Return the finished trials that were recorded, in order of their numbers.

    Returns:
        None if nothing was recorded, or if the record is of another storage or another search.

    Raises:
        IntegrityError: the record is damaged.
    """
    path = study.path / TRIALS
    try:
        document = read_hashed(study.path, TRIALS)
    except FileNotFoundError:
        return None
    except IntegrityError as error:
        again = shell_command("tune", "--resume", study.path)
        raise IntegrityError(f"{error}; delete it, and '{again}' writes it again") from error
    try:
        if document["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {document['schema']}, expected {_SCHEMA}")
        if document["storage"] != study.plan.storage or document["study"] != study.plan.sha256:
            return None
        trials = tuple(map(_from_json, document["trials"]))
        return checked(StudyResult(study.plan.name, study.plan.directions, trials))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error


def commit_trials(study: StudyFolder, result: StudyResult) -> None:
    """Record the finished trials, unless they are all recorded already.

    Raises:
        IntegrityError: the present record is damaged.
        StorageError: the folder was deleted, or cannot be written.
    """
    finished = [trial for trial in result.trials if trial.finished]
    study.check_present()
    known = read_trials(study)
    if known is not None and len(known.trials) >= len(finished):
        return
    trials = [_as_json(trial) for trial in finished]
    if len(json.dumps(trials)) > MOST_JSON - _ROOM:  # a study of very many trials and epochs
        trials = [{**trial, "reports": None} for trial in trials]
    document = {
        "schema": _SCHEMA,
        "study": study.plan.sha256,
        "storage": study.plan.storage,
        "trials": trials,
    }
    write_hashed(study.path / TRIALS, document)


def verified(study: StudyFolder, result: StudyResult) -> StudyResult:
    """Return the trials of a storage after comparing them with those that were recorded.

    Seconds, notes and errors of recorded trials are those of the record.

    Raises:
        IntegrityError: a recorded trial is missing or different, or a trial is malformed.
    """
    where = study.plan.storage or str(study.path / DATABASE)
    try:
        checked(result)
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{where} is damaged: {error}") from error
    known = read_trials(study)
    if known is None:
        return result
    if known.trials and not study.plan.storage and not (study.path / DATABASE).exists():
        raise IntegrityError(
            f"{where} is missing, but {TRIALS} has {len(known.trials)} trials: put an intact copy "
            f"back, or delete {study.path / TRIALS} to start them anew"
        )
    found = {trial.number: trial for trial in result.trials}
    for trial in known.trials:
        here = found.get(trial.number)
        fault = f"it lacks trial {trial.number}" if here is None else _difference(trial, here)
        if here is None or fault:
            raise IntegrityError(
                f"{where} is damaged: {fault}; put back an intact copy, or delete "
                f"{study.path / TRIALS} to accept it as it is"
            )
        found[trial.number] = replace(
            here, seconds=trial.seconds, notes=trial.notes, error=trial.error
        )
    return replace(result, trials=tuple(found.values()))


def checked(result: StudyResult) -> StudyResult:
    """Return a result after checking what its readers rely on.

    Raises:
        ValueError: a number occurs twice or is negative, or a completed trial has other values
            than one finite number for each objective.
        TypeError: a number of a trial or of epochs is no integer, or a value is no number.
    """
    numbers = set()
    for trial in result.trials:
        if type(trial.number) is not int:
            raise TypeError(f"a trial has the number {trial.number!r}")
        if trial.number < 0 or trial.number in numbers:
            raise ValueError(f"trial {trial.number} occurs twice or has a negative number")
        numbers.add(trial.number)
        if trial.state == "complete" and len(trial.values) != len(result.directions):
            raise ValueError(
                f"trial {trial.number} has {len(trial.values)} values, expected "
                f"{len(result.directions)}"
            )
        if not all(math.isfinite(value) for value in trial.values):
            raise ValueError(f"trial {trial.number} has a value that is not finite")
        for epoch, value in trial.reports.items():
            if type(epoch) is not int or not isinstance(value, int | float):
                raise TypeError(f"trial {trial.number} reported {value!r} after epoch {epoch!r}")
        for key in ("epochs", "of_epochs"):
            if type(trial.notes.get(key, 0)) is not int:
                raise TypeError(f"trial {trial.number} has {trial.notes[key]!r} {key}")
    return result


def _difference(recorded: TrialRecord, found: TrialRecord) -> str:
    """Return the first difference between two records of a trial as text, or the empty string."""
    ours, theirs = _plain(recorded), _plain(found)
    for key in _COMPARED:
        if ours[key] == theirs[key] or (key == "reports" and not ours[key]):
            continue
        for part in ours[key].keys() | theirs[key].keys() if isinstance(ours[key], dict) else ():
            here, there = ours[key].get(part), theirs[key].get(part)
            if here != there:
                return f"trial {found.number} has {part} {there}, {TRIALS} has {here}"
        return f"trial {found.number} has {key} {theirs[key]}, {TRIALS} has {ours[key]}"
    return ""


def _plain(trial: TrialRecord) -> dict[str, Any]:
    document = _as_json(trial)
    value = document["values"]
    return {**document, "value": value[0] if len(value) == 1 else value}


def _as_json(trial: TrialRecord) -> dict[str, Any]:
    document = {
        "number": trial.number,
        "state": trial.state,
        "params": dict(trial.params),
        "values": list(trial.values),
        "seconds": trial.seconds,
        "reports": {str(epoch): _number(value) for epoch, value in trial.reports.items()},
        "notes": dict(trial.notes),
        "error": str(trial.error),
    }
    plain: dict[str, Any] = json.loads(json.dumps(document, default=str), parse_constant=str)
    return plain


def _number(value: float) -> float | str:
    """Return a float as JSON has it: as text if it is not finite."""
    return value if math.isfinite(value) else str(value)


def _from_json(fields: Mapping[str, Any]) -> TrialRecord:
    if fields["state"] not in _FINISHED:
        raise ValueError(f"trial {fields['number']} has the state {fields['state']!r}")
    return TrialRecord(
        number=fields["number"],
        state=fields["state"],
        params=dict(fields["params"]),
        values=tuple(map(float, fields["values"])),
        seconds=float(fields["seconds"]),
        reports={int(epoch): float(value) for epoch, value in (fields["reports"] or {}).items()},
        notes=dict(fields["notes"]),
        error=str(fields["error"]),
    )
