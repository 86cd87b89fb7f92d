"""Checks of records: what one tuner stores of a study, another tuner loads."""

from __future__ import annotations

from collections.abc import Sequence

from latentkit.errors import UserError
from latentkit.plugin import StudyTask, Trial
from latentkit.testing.tuner_checks.studies import (
    Make,
    Seen,
    alike,
    cost,
    loaded,
    optimized,
    record_of,
    require,
    task,
)

_NOTES = {
    "folder": "runs/1",
    "bytes": 2**40,
    "losses": [0.5, 0.25],
    "device": {"name": "cpu", "threads": 1, "busy": False, "card": None},
}


def check_nothing_stored_loads_as_none(make: Make, storage: str) -> None:
    """Check that ``load`` returns None for a study that the storage does not have."""
    require(make().load(task(storage)) is None, "load returned a study from an empty storage")
    optimized(make, task(storage), 1)
    other = make().load(task(storage, name="other"))
    require(other is None, "load returned a study whose name is not stored")


def check_what_is_loaded_is_what_was_given(make: Make, storage: str) -> None:
    """Check that ``load`` returns the same study as ``optimize``."""

    def act(trial: Trial) -> Sequence[float]:
        trial.note("number", trial.number)
        if trial.number == 1:
            raise ValueError("no good")
        return (cost(trial.params),)

    asked = task(storage)
    given = optimized(make, asked, 4, act)
    stored = loaded(make, asked)
    require(stored.name == given.name == asked.name, f"the study is called {stored.name!r}")
    require(
        alike(given, stored), f"optimize returned {given.trials}, but load returned {stored.trials}"
    )
    values = [trial.values for trial in stored.trials if trial.state == "complete"]
    expected = [(cost(trial.params),) for trial in stored.trials if trial.state == "complete"]
    require(values == expected, f"objectives returned {expected}, but {values} are stored")


def check_a_trial_is_stored_as_it_begins(make: Make, storage: str) -> None:
    """Check that ``load`` returns a trial that runs as running, with its parameters."""
    asked = task(storage)

    def act(trial: Trial) -> Sequence[float]:
        record = record_of(loaded(make, asked), trial.number)
        states.append(record.state)
        require(
            dict(record.params) == dict(trial.params),
            "the parameters of a running trial are not stored yet",
        )
        return (cost(trial.params),)

    states: list[str] = []
    result = optimized(make, asked, 2, act)
    errors = [trial.error for trial in result.trials if trial.error]
    require(not errors, f"a running trial cannot be loaded: {errors}")
    require(set(states) == {"running"}, f"running trials are stored as {states}")


def check_reports_are_stored(make: Make, storage: str) -> None:
    """Check that ``load`` returns the reported values by epoch."""
    told = {1: 0.5, 2: 0.25, 3: 0.125}
    reports = _reports(make, task(storage), list(told.items()))
    require(reports == told, f"{told} was reported, but {reports} is stored")


def check_an_epoch_may_be_told_again(make: Make, storage: str) -> None:
    """Check that epochs may be reported again, as a resumed trial does, without any change."""
    reports = _reports(make, task(storage), [(1, 0.5), (2, 0.25), (2, 0.25), (1, 0.5), (3, 0.125)])
    require(
        reports == {1: 0.5, 2: 0.25, 3: 0.125},
        f"epochs that were reported again are stored as {reports}",
    )


def check_notes_are_stored(make: Make, storage: str) -> None:
    """Check that ``load`` returns the last note of each key, also of a trial that fails."""

    def act(trial: Trial) -> Sequence[float]:
        trial.note("folder", "nowhere yet")
        for key, value in _NOTES.items():
            trial.note(key, value)
        if trial.number == 1:
            raise ValueError("no good")
        return (0.0,)

    asked = task(storage)
    optimized(make, asked, 2, act)
    for trial in loaded(make, asked).trials:
        require(
            dict(trial.notes) == _NOTES, f"{_NOTES} was noted, but {dict(trial.notes)} is stored"
        )


def check_another_identity_is_refused(make: Make, storage: str) -> None:
    """Check that a stored study with another identity is refused with an error that names it."""
    optimized(make, task(storage), 1)
    seen = Seen()
    try:
        optimized(make, task(storage, identity="other"), 2, seen)
    except UserError as error:
        require("check" in str(error), f"the error does not name the study 'check': {error}")
    else:
        raise AssertionError("a stored study with another identity was continued")
    require(not seen.handed, "a trial was started in a study with another identity")


def check_studies_of_one_storage_are_apart(make: Make, storage: str) -> None:
    """Check that two names in one storage are two independent studies."""
    before, seen = optimized(make, task(storage, name="one"), 3), Seen()
    optimized(make, task(storage, name="other"), 2, seen)
    numbers = [number for number, _ in seen.handed]
    require(numbers[:2] == [0, 1], f"a second study in the same storage started trials {numbers}")
    after = loaded(make, task(storage, name="one"))
    require(alike(before, after), "a second study in the same storage changed the first")


def _reports(make: Make, asked: StudyTask, told: list[tuple[int, float]]) -> dict[int, float]:
    """Run the first trial, which no tuner prunes, and return its stored reports."""

    def act(trial: Trial) -> Sequence[float]:
        for epoch, value in told:
            trial.report(epoch, value)
        return (told[-1][1],)

    optimized(make, asked, 1, act)
    record = record_of(loaded(make, asked), 0)
    require(record.state == "complete", f"a trial that reports is {record.state}: {record.error}")
    return dict(record.reports)
