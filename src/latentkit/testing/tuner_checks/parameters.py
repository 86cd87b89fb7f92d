"""Parameters lie where they may, are of the right type, and follow from the seed."""

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
    """A number is between the ends of its range and, where it has steps, on one of them."""
    ranges = {**_FLOATS, **_INTEGERS}
    for params in _handed(make, storage, ranges):
        for name, domain in ranges.items():
            require(_inside(params[name], domain), f"{params[name]!r} is not in {domain}")


def check_numbers_have_the_type_of_their_range(make: Make, storage: str) -> None:
    """A range between integers gives Python integers; every other one gives floats."""
    for params in _handed(make, storage, {**_FLOATS, **_INTEGERS}):
        for name in _INTEGERS:
            require(type(params[name]) is int, f"{_INTEGERS[name]} gave {params[name]!r}, no int")
        for name in _FLOATS:
            given = isinstance(params[name], float)
            require(given, f"{_FLOATS[name]} gave {params[name]!r}, no float")


def check_choices_come_back_as_they_were_given(make: Make, storage: str) -> None:
    """A choice equals one of the values and has its type, a tuple or a boolean too."""
    for params in _handed(make, storage, _CHOICES):
        for name, domain in _CHOICES.items():
            known = any(
                type(params[name]) is type(value) and params[name] == value
                for value in domain.values
            )
            require(known, f"{params[name]!r} is none of {domain.values}")


def check_the_seed_decides_the_parameters(make: Make, storage: str) -> None:
    """Two studies of one seed have the same parameters, trial by trial."""
    one, other = Seen(), Seen()
    optimized(make, task(storage, name="one"), 8, one)
    optimized(make, task(storage, name="other"), 8, other)
    require(one.handed == other.handed, "two studies of one seed have other parameters")


def check_an_interruption_changes_no_parameters(make: Make, storage: str) -> None:
    """A study that was interrupted and gone on with has the parameters of one that was not."""
    whole = optimized(make, task(storage, name="whole"), 8)
    for at in (0, 3, 7):
        asked = task(storage, name=f"interrupted at {at}")
        interrupted(make, asked, trials=8, at=at)
        params = [dict(trial.params) for trial in optimized(make, asked, 8).trials]
        require(
            params == [dict(trial.params) for trial in whole.trials],
            f"a study that was interrupted at trial {at} and gone on with has other parameters",
        )


def check_a_pause_changes_no_parameters(make: Make, storage: str) -> None:
    """A study that is run in two calls has the parameters of one that is run in one."""
    whole = optimized(make, task(storage, name="whole"), 8)
    asked = task(storage, name="paused")
    optimized(make, asked, 3)
    params = [dict(trial.params) for trial in optimized(make, asked, 8).trials]
    require(
        params == [dict(trial.params) for trial in whole.trials],
        "a study that is run in two calls has other parameters than one that is run in one",
    )


def _handed(make: Make, storage: str, space: Mapping[str, SearchDomain]) -> list[Mapping[str, Any]]:
    """Return the parameters of some trials: handed out, given back, and loaded."""

    def act(trial: Trial) -> Sequence[float]:
        return (float(trial.number % 5),)

    seen, asked = Seen(act), task(storage, space=space)
    result = optimized(make, asked, _TRIALS, seen)
    require(bool(seen.handed), "no trial was begun")
    handed: list[Mapping[str, Any]] = [params for _, params in seen.handed]
    stored = [trial.params for trial in (*result.trials, *loaded(make, asked).trials)]
    for params in (*handed, *stored):
        require(set(params) == set(space), f"of {sorted(space)} a trial has {sorted(params)}")
    return [*handed, *stored]


def _inside(value: float, domain: SearchRange) -> bool:
    if not domain.low <= value <= domain.high:
        return False
    if domain.step is None:
        return True
    steps = (value - domain.low) / domain.step
    return abs(steps - round(steps)) < 1e-6
