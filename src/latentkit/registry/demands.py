"""Validation messages: what a value should be, in plainer words than pydantic's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from latentkit.errors import did_you_mean

_SHOULD_BE = "should be "
_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
    "too_short": ("min_length", "a list of {} or more"),
    "too_long": ("max_length", "a list of {} or fewer"),
}
_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "list": "a list such as [8, 16]",
    "string": "a text",
    "tuple": "a list such as [8, 16]",
}
_KIND = re.compile(r"(\w+)_(?:type|parsing|from_float)")


def demand(faults: Iterable[ErrorDetails]) -> str:
    """Return what a value should be, from the faults that each member of a union reports."""
    first, *others = dict.fromkeys(map(_demand, faults))
    return " or ".join([first, *(other.removeprefix(_SHOULD_BE) for other in others)])


def demand_of(value: Any, faults: Iterable[ErrorDetails]) -> str:
    """Return what a value should be or, if a list has a wrong item, what each item should be."""
    by_member = [(_member(fault), fault) for fault in faults]
    wrong = next((member for member, _ in by_member if member is not None), None)
    if wrong is None or not isinstance(value, list | tuple):
        return demand(fault for _, fault in by_member)
    return f"each {demand(fault for member, fault in by_member if member == wrong)}"


def _member(fault: ErrorDetails) -> int | None:
    """Return the index of the list item that a fault belongs to, or None."""
    return next((at for at in fault["loc"] if isinstance(at, int)), None)


def _demand(fault: ErrorDetails) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return _SHOULD_BE + text.format(_number(context[name]))
    if kind == "literal_error":
        return f"{_SHOULD_BE}{context['expected']}{_nearest(fault['input'], context['expected'])}"
    if (found := _KIND.fullmatch(kind)) and found[1] in _KINDS:
        return _SHOULD_BE + _KINDS[found[1]]
    return fault["msg"].removeprefix("Value error, ")


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _nearest(value: Any, expected: str) -> str:
    known = re.findall(r"'([^']*)'", expected)
    return did_you_mean(value, known) if isinstance(value, str) and len(known) > 1 else ""
