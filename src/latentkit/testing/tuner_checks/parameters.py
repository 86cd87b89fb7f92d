"""Checks of parameters: they are in their ranges, have the right type and follow from the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentkit.plugin import SearchChoice, SearchRange, Trial
from latentkit.plugin.options import SearchDomain
from latentkit.testing.tuner_checks.studies import (
    Make,
    Seen,
    interrupted,
    loaded,
    optimized,
    require,
    task,
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


def check_numbers_lie_in_their_ranges(make: Make, storage: str) -> None:
    """Check that numbers are within their ranges and, for a range with a step, on its steps."""
    ranges = {**_FLOATS, **_INTEGERS}
    for params in _handed(make, storage, ranges):
        for name, domain in ranges.items():
            require(_inside(params[name], domain), f"{params[name]!r} is not in {domain}")


def check_numbers_have_the_type_of_their_range(make: Make, storage: str) -> None:
    """Check that a range between integers gives Python integers, and any other range floats."""
    for params in _handed(make, storage, {**_FLOATS, **_INTEGERS}):
        for name in _INTEGERS:
            whole = type(params[name]) is int
            require(whole, f"{_INTEGERS[name]} gave {params[name]!r}, which is not an int")
        for name in _FLOATS:
            given = isinstance(params[name], float)
            require(given, f"{_FLOATS[name]} gave {params[name]!r}, which is not a float")


def check_choices_come_back_as_they_were_given(make: Make, storage: str) -> None:
    """Check that a choice equals one of the values and has its type, also tuples and booleans."""
    for params in _handed(make, storage, _CHOICES):
        for name, domain in _CHOICES.items():
            known = any(
                type(params[name]) is type(value) and params[name] == value
                for value in domain.values
            )
            require(known, f"{params[name]!r} is not one of {domain.values}")


def check_the_seed_decides_the_parameters(make: Make, storage: str) -> None:
    """Check that two studies with the same seed have the same parameters, trial by trial."""
    one, other = Seen(), Seen()
    optimized(make, task(storage, name="one"), 8, one)
    optimized(make, task(storage, name="other"), 8, other)
    require(one.handed == other.handed, "two studies with the same seed have different parameters")


def check_an_interruption_changes_no_parameters(make: Make, storage: str) -> None:
    """Check that an interrupted and resumed study has the parameters of an uninterrupted one."""
    whole = optimized(make, task(storage, name="whole"), 8)
    for at in (0, 3, 7):
        asked = task(storage, name=f"interrupted at {at}")
        interrupted(make, asked, trials=8, at=at)
        params = [dict(trial.params) for trial in optimized(make, asked, 8).trials]
        require(
            params == [dict(trial.params) for trial in whole.trials],
            f"a study interrupted at trial {at} and resumed has different parameters",
        )


def check_a_pause_changes_no_parameters(make: Make, storage: str) -> None:
    """Check that a study run in two calls has the parameters of one run in a single call."""
    whole = optimized(make, task(storage, name="whole"), 8)
    asked = task(storage, name="paused")
    optimized(make, asked, 3)
    params = [dict(trial.params) for trial in optimized(make, asked, 8).trials]
    require(
        params == [dict(trial.params) for trial in whole.trials],
        "a study run in two calls has different parameters than one run in a single call",
    )


def _handed(make: Make, storage: str, space: Mapping[str, SearchDomain]) -> list[Mapping[str, Any]]:
    """Return the parameters of trials: as given to the objective, as returned, and as loaded."""

    def act(trial: Trial) -> Sequence[float]:
        return (float(trial.number % 5),)

    seen, asked = Seen(act), task(storage, space=space)
    result = optimized(make, asked, _TRIALS, seen)
    require(bool(seen.handed), "no trial was started")
    handed: list[Mapping[str, Any]] = [params for _, params in seen.handed]
    stored = [trial.params for trial in (*result.trials, *loaded(make, asked).trials)]
    for params in (*handed, *stored):
        require(
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
