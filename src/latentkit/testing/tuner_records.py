"""Checks of a tuner's records: what is stored, the best trial, and the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentkit.errors import UserError
from latentkit.plugin import Direction, SearchChoice, SearchDomain, SearchRange, StudyTask, Trial
from latentkit.testing import tuner_study

_NOTES = {
    "folder": "runs/1",
    "bytes": 2**40,
    "losses": [0.5, 0.25],
    "device": {"name": "cpu", "threads": 1, "busy": False, "card": None},
}


def check_nothing_stored_loads_as_none(make: tuner_study.Make, storage: str) -> None:
    """Check that ``load`` returns None for a study that the storage does not have."""
    tuner_study.require(
        make().load(tuner_study.task(storage)) is None,
        "load returned a study from an empty storage",
    )
    tuner_study.optimized(make, tuner_study.task(storage), 1)
    other = make().load(tuner_study.task(storage, name="other"))
    tuner_study.require(other is None, "load returned a study whose name is not stored")


def check_what_is_loaded_is_what_was_given(make: tuner_study.Make, storage: str) -> None:
    """Check that ``load`` returns the same study as ``optimize``."""

    def act(trial: Trial) -> Sequence[float]:
        trial.note("number", trial.number)
        if trial.number == 1:
            raise ValueError("this trial fails on purpose")
        return (tuner_study.cost(trial.params),)

    asked = tuner_study.task(storage)
    given = tuner_study.optimized(make, asked, 4, act)
    stored = tuner_study.loaded(make, asked)
    tuner_study.require(
        stored.name == given.name == asked.name, f"the study is called {stored.name!r}"
    )
    tuner_study.require(
        tuner_study.alike(given, stored),
        f"optimize returned {given.trials}, but load returned {stored.trials}",
    )
    values = [trial.values for trial in stored.trials if trial.state == "complete"]
    expected = [
        (tuner_study.cost(trial.params),) for trial in stored.trials if trial.state == "complete"
    ]
    tuner_study.require(
        values == expected, f"objectives returned {expected}, but {values} are stored"
    )


def check_a_trial_is_stored_as_it_begins(make: tuner_study.Make, storage: str) -> None:
    """Check that ``load`` returns a trial that runs as running, with its parameters."""
    asked = tuner_study.task(storage)

    def act(trial: Trial) -> Sequence[float]:
        record = tuner_study.record_of(tuner_study.loaded(make, asked), trial.number)
        states.append(record.state)
        tuner_study.require(
            dict(record.params) == dict(trial.params),
            "the parameters of a running trial are not stored yet",
        )
        return (tuner_study.cost(trial.params),)

    states: list[str] = []
    result = tuner_study.optimized(make, asked, 2, act)
    errors = [trial.error for trial in result.trials if trial.error]
    tuner_study.require(not errors, f"a running trial cannot be loaded: {errors}")
    tuner_study.require(set(states) == {"running"}, f"running trials are stored as {states}")


def check_reports_are_stored(make: tuner_study.Make, storage: str) -> None:
    """Check that ``load`` returns the reported values by epoch."""
    told = {1: 0.5, 2: 0.25, 3: 0.125}
    reports = _reports(make, tuner_study.task(storage), list(told.items()))
    tuner_study.require(reports == told, f"{told} was reported, but {reports} is stored")


def check_an_epoch_may_be_told_again(make: tuner_study.Make, storage: str) -> None:
    """Check that epochs may be reported again, as a resumed trial does, without any change."""
    reports = _reports(
        make, tuner_study.task(storage), [(1, 0.5), (2, 0.25), (2, 0.25), (1, 0.5), (3, 0.125)]
    )
    tuner_study.require(
        reports == {1: 0.5, 2: 0.25, 3: 0.125},
        f"epochs that were reported again are stored as {reports}",
    )


def check_notes_are_stored(make: tuner_study.Make, storage: str) -> None:
    """Check that ``load`` returns the last note of each key, also of a trial that fails."""

    def act(trial: Trial) -> Sequence[float]:
        trial.note("folder", "nowhere yet")
        for key, value in _NOTES.items():
            trial.note(key, value)
        if trial.number == 1:
            raise ValueError("this trial fails on purpose")
        return (0.0,)

    asked = tuner_study.task(storage)
    tuner_study.optimized(make, asked, 2, act)
    for trial in tuner_study.loaded(make, asked).trials:
        tuner_study.require(
            dict(trial.notes) == _NOTES, f"{_NOTES} was noted, but {dict(trial.notes)} is stored"
        )


def check_another_identity_is_refused(make: tuner_study.Make, storage: str) -> None:
    """Check that a stored study with another identity is refused with an error that names it."""
    tuner_study.optimized(make, tuner_study.task(storage), 1)
    seen = tuner_study.Seen()
    try:
        tuner_study.optimized(make, tuner_study.task(storage, identity="other"), 2, seen)
    except UserError as error:
        tuner_study.require(
            "check" in str(error), f"the error does not name the study 'check': {error}"
        )
    else:
        raise AssertionError("a stored study with another identity was continued")
    tuner_study.require(not seen.handed, "a trial was started in a study with another identity")


def check_studies_of_one_storage_are_apart(make: tuner_study.Make, storage: str) -> None:
    """Check that two names in one storage are two independent studies."""
    before, seen = (
        tuner_study.optimized(make, tuner_study.task(storage, name="one"), 3),
        tuner_study.Seen(),
    )
    tuner_study.optimized(make, tuner_study.task(storage, name="other"), 2, seen)
    numbers = [number for number, _ in seen.handed]
    tuner_study.require(
        numbers[:2] == [0, 1], f"a second study in the same storage started trials {numbers}"
    )
    after = tuner_study.loaded(make, tuner_study.task(storage, name="one"))
    tuner_study.require(
        tuner_study.alike(before, after), "a second study in the same storage changed the first"
    )


def _reports(
    make: tuner_study.Make, asked: StudyTask, told: list[tuple[int, float]]
) -> dict[int, float]:
    """Run the first trial, which no tuner prunes, and return its stored reports."""

    def act(trial: Trial) -> Sequence[float]:
        for epoch, value in told:
            trial.report(epoch, value)
        return (told[-1][1],)

    tuner_study.optimized(make, asked, 1, act)
    record = tuner_study.record_of(tuner_study.loaded(make, asked), 0)
    tuner_study.require(
        record.state == "complete", f"a trial that reports is {record.state}: {record.error}"
    )
    return dict(record.reports)


_VALUES = (3.0, -1.0, 7.0, 2.0)
_PAIRS = ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (0.0, 0.0), (2.0, 1.0))
_FRONT = [0, 1, 3]
"""The Pareto front of `_PAIRS` if the first value is minimised and the second maximised."""


def check_the_least_is_best_when_minimised(make: tuner_study.Make, storage: str) -> None:
    """Check that the best trial has the least value if the objective is minimised."""
    _require_best(make, storage, "minimize", number=1)


def check_the_greatest_is_best_when_maximised(make: tuner_study.Make, storage: str) -> None:
    """Check that the best trial has the greatest value if the objective is maximised."""
    _require_best(make, storage, "maximize", number=2)


def check_two_objectives_make_a_front(make: tuner_study.Make, storage: str) -> None:
    """Check that records have one value per direction, and that the front is not dominated."""

    def act(trial: Trial) -> Sequence[float]:
        return _PAIRS[trial.number % len(_PAIRS)]

    asked = tuner_study.task(storage, directions=("minimize", "maximize"))
    given = tuner_study.optimized(make, asked, len(_PAIRS), act)
    for result in (given, tuner_study.loaded(make, asked)):
        values = [tuple(trial.values) for trial in result.trials[: len(_PAIRS)]]
        tuner_study.require(
            values == list(_PAIRS), f"objectives returned {_PAIRS}, but {values} are recorded"
        )
        tuner_study.require(
            result.directions == asked.directions, f"the directions are {result.directions}"
        )
        front = [trial.number for trial in result.front if trial.number < len(_PAIRS)]
        tuner_study.require(front == _FRONT, f"the front of {_PAIRS} is {front}, not {_FRONT}")


def _require_best(make: tuner_study.Make, storage: str, direction: Direction, number: int) -> None:
    def act(trial: Trial) -> Sequence[float]:
        return (_VALUES[trial.number % len(_VALUES)],)

    asked = tuner_study.task(storage, directions=(direction,))
    given = tuner_study.optimized(make, asked, len(_VALUES), act)
    for result in (given, tuner_study.loaded(make, asked)):
        best = result.best
        tuner_study.require(
            best is not None and best.number == number,
            f"for the values {_VALUES} and direction {direction!r}, the best trial is {best}",
        )


_TRIALS = 12
_FLOATS: Mapping[str, SearchRange] = {
    "plain": SearchRange(-1.5, 2.5),
    "log": SearchRange(1e-6, 10.0, log=True),
    "stepped": SearchRange(0.0, 1.0, step=0.1),
    "uneven": SearchRange(0.5, 2.0, step=0.4),
}
_INTEGERS: Mapping[str, SearchRange] = {
    "whole": SearchRange(-3, 3),
    "whole_log": SearchRange(1, 1000, log=True),
    "whole_stepped": SearchRange(16, 128, step=16),
    "whole_uneven": SearchRange(1, 10, step=4),
}
_CHOICES: Mapping[str, SearchChoice] = {
    "word": SearchChoice(("relu", "tanh", "gelu")),
    "switch": SearchChoice((True, False)),
    "number": SearchChoice((0.5, 1.0, 2.5)),
    "count": SearchChoice((1, 2, 4)),
    "layers": SearchChoice(((256,), (512, 128))),
    "maybe": SearchChoice((None, "batch")),
}


def check_numbers_lie_in_their_ranges(make: tuner_study.Make, storage: str) -> None:
    """Check that numbers are within their ranges and, for a range with a step, on its steps."""
    ranges = {**_FLOATS, **_INTEGERS}
    for params in _handed(make, storage, ranges):
        for name, domain in ranges.items():
            tuner_study.require(
                _inside(params[name], domain), f"{params[name]!r} is not in {domain}"
            )


def check_numbers_have_the_type_of_their_range(make: tuner_study.Make, storage: str) -> None:
    """Check that a range between integers gives Python integers, and any other range floats."""
    for params in _handed(make, storage, {**_FLOATS, **_INTEGERS}):
        for name in _INTEGERS:
            whole = type(params[name]) is int
            tuner_study.require(
                whole, f"{_INTEGERS[name]} gave {params[name]!r}, which is not an int"
            )
        for name in _FLOATS:
            given = isinstance(params[name], float)
            tuner_study.require(
                given, f"{_FLOATS[name]} gave {params[name]!r}, which is not a float"
            )


def check_choices_come_back_as_they_were_given(make: tuner_study.Make, storage: str) -> None:
    """Check that a choice equals one of the values and has its type, also tuples and booleans."""
    for params in _handed(make, storage, _CHOICES):
        for name, domain in _CHOICES.items():
            known = any(
                type(params[name]) is type(value) and params[name] == value
                for value in domain.values
            )
            tuner_study.require(known, f"{params[name]!r} is not one of {domain.values}")


def check_the_seed_decides_the_parameters(make: tuner_study.Make, storage: str) -> None:
    """Check that two studies with the same seed have the same parameters, trial by trial."""
    one, other = tuner_study.Seen(), tuner_study.Seen()
    tuner_study.optimized(make, tuner_study.task(storage, name="one"), 8, one)
    tuner_study.optimized(make, tuner_study.task(storage, name="other"), 8, other)
    tuner_study.require(
        one.handed == other.handed, "two studies with the same seed have different parameters"
    )


def check_an_interruption_changes_no_parameters(make: tuner_study.Make, storage: str) -> None:
    """Check that an interrupted and resumed study has the parameters of an uninterrupted one."""
    whole = tuner_study.optimized(make, tuner_study.task(storage, name="whole"), 8)
    for at in (0, 3, 7):
        asked = tuner_study.task(storage, name=f"interrupted at {at}")
        tuner_study.interrupted(make, asked, trials=8, at=at)
        params = [dict(trial.params) for trial in tuner_study.optimized(make, asked, 8).trials]
        tuner_study.require(
            params == [dict(trial.params) for trial in whole.trials],
            f"a study interrupted at trial {at} and resumed has different parameters",
        )


def check_a_pause_changes_no_parameters(make: tuner_study.Make, storage: str) -> None:
    """Check that a study run in two calls has the parameters of one run in a single call."""
    whole = tuner_study.optimized(make, tuner_study.task(storage, name="whole"), 8)
    asked = tuner_study.task(storage, name="paused")
    tuner_study.optimized(make, asked, 3)
    params = [dict(trial.params) for trial in tuner_study.optimized(make, asked, 8).trials]
    tuner_study.require(
        params == [dict(trial.params) for trial in whole.trials],
        "a study run in two calls has different parameters than one run in a single call",
    )


def _handed(
    make: tuner_study.Make, storage: str, space: Mapping[str, SearchDomain]
) -> list[Mapping[str, Any]]:
    """Return the parameters of trials: as given to the objective, as returned, and as loaded."""

    def act(trial: Trial) -> Sequence[float]:
        return (float(trial.number % 5),)

    seen, asked = tuner_study.Seen(act), tuner_study.task(storage, space=space)
    result = tuner_study.optimized(make, asked, _TRIALS, seen)
    tuner_study.require(bool(seen.handed), "no trial was started")
    handed: list[Mapping[str, Any]] = [params for _, params in seen.handed]
    stored = [trial.params for trial in (*result.trials, *tuner_study.loaded(make, asked).trials)]
    for params in (*handed, *stored):
        tuner_study.require(
            set(params) == set(space),
            f"a trial has the parameters {sorted(params)}, expected {sorted(space)}",
        )
    return [*handed, *stored]


def _inside(value: float, domain: SearchRange) -> bool:
    if not domain.low <= value <= domain.high:
        return False
    if domain.step is None:
        return True
    steps = (value - domain.low) / domain.step
    return abs(steps - round(steps)) < 1e-6
