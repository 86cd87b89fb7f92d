"""What is stored of a study, and given back by another tuner."""

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
    """A storage without the study gives None, also beside another study."""
    require(make().load(task(storage)) is None, "load gave a study out of an empty storage")
    optimized(make, task(storage), 1)
    other = make().load(task(storage, name="other"))
    require(other is None, "load gave a study whose name is not stored")


def check_what_is_loaded_is_what_was_given(make: Make, storage: str) -> None:
    """``load`` gives what ``optimize`` gave."""

    def act(trial: Trial) -> Sequence[float]:
        trial.note("number", trial.number)
        if trial.number == 1:
            raise ValueError("no good")
        return (cost(trial.params),)

    asked = task(storage)
    given = optimized(make, asked, 4, act)
    stored = loaded(make, asked)
    require(stored.name == given.name == asked.name, f"the study is called {stored.name!r}")
    require(alike(given, stored), f"optimize gave {given.trials}, load {stored.trials}")
    values = [trial.values for trial in stored.trials if trial.state == "complete"]
    expected = [(cost(trial.params),) for trial in stored.trials if trial.state == "complete"]
    require(values == expected, f"objectives gave {expected}, stored are {values}")


def check_a_trial_is_stored_as_it_begins(make: Make, storage: str) -> None:
    """While a trial runs, ``load`` shows it as running, with its parameters."""
    asked = task(storage)

    def act(trial: Trial) -> Sequence[float]:
        record = record_of(loaded(make, asked), trial.number)
        states.append(record.state)
        require(dict(record.params) == dict(trial.params), "a running trial has no parameters yet")
        return (cost(trial.params),)

    states: list[str] = []
    result = optimized(make, asked, 2, act)
    errors = [trial.error for trial in result.trials if trial.error]
    require(not errors, f"a trial that runs cannot be loaded: {errors}")
    require(set(states) == {"running"}, f"trials that run are {states}")


def check_reports_are_stored(make: Make, storage: str) -> None:
    """``load`` gives what was reported, by epoch."""
    told = {1: 0.5, 2: 0.25, 3: 0.125}
    reports = _reports(make, task(storage), list(told.items()))
    require(reports == told, f"reported was {told}, stored is {reports}")


def check_an_epoch_may_be_told_again(make: Make, storage: str) -> None:
    """A trial that is gone on with tells epochs a second time, which changes nothing."""
    reports = _reports(make, task(storage), [(1, 0.5), (2, 0.25), (2, 0.25), (1, 0.5), (3, 0.125)])
    require(reports == {1: 0.5, 2: 0.25, 3: 0.125}, f"epochs told again are stored as {reports}")


def check_notes_are_stored(make: Make, storage: str) -> None:
    """``load`` gives what was noted, the last for each key, also of a trial that fails."""

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
        require(dict(trial.notes) == _NOTES, f"noted was {_NOTES}, stored is {dict(trial.notes)}")


def check_another_identity_is_refused(make: Make, storage: str) -> None:
    """A stored study with another identity is refused in words that name the study."""
    optimized(make, task(storage), 1)
    seen = Seen()
    try:
        optimized(make, task(storage, identity="other"), 2, seen)
    except UserError as error:
        require("check" in str(error), f"the refusal does not name the study 'check': {error}")
    else:
        raise AssertionError("a stored study with another identity was gone on with")
    require(not seen.handed, "a trial was begun in a study with another identity")


def check_studies_of_one_storage_are_apart(make: Make, storage: str) -> None:
    """Two names at one storage are two studies."""
    before, seen = optimized(make, task(storage, name="one"), 3), Seen()
    optimized(make, task(storage, name="other"), 2, seen)
    numbers = [number for number, _ in seen.handed]
    require(numbers[:2] == [0, 1], f"a second study at one storage began the numbers {numbers}")
    after = loaded(make, task(storage, name="one"))
    require(alike(before, after), "a second study at one storage changed the first")


def _reports(make: Make, asked: StudyTask, told: list[tuple[int, float]]) -> dict[int, float]:
    """Run one trial, the first, which no tuner gives up, and return its reports as stored."""

    def act(trial: Trial) -> Sequence[float]:
        for epoch, value in told:
            trial.report(epoch, value)
        return (told[-1][1],)

    optimized(make, asked, 1, act)
    record = record_of(loaded(make, asked), 0)
    require(record.state == "complete", f"a trial that reports is {record.state}: {record.error}")
    return dict(record.reports)
