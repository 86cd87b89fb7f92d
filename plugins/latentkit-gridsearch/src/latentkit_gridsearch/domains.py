"""Properties of search ranges that both tuners use."""

from __future__ import annotations

import math

from latentkit.plugin import SearchRange


def is_whole(domain: SearchRange) -> bool:
    """Return whether the range is one of integers: its ends are integers, and so is any step."""
    ends = isinstance(domain.low, int) and isinstance(domain.high, int)
    return ends and (domain.step is None or float(domain.step).is_integer())


def step_count(domain: SearchRange) -> int:
    """Return the number of values of a range with a step; the last may be below ``high``."""
    if domain.step is None:
        raise ValueError(f"{domain} has no step")
    return math.floor((domain.high - domain.low) / domain.step + 1e-9) + 1


def step_value(domain: SearchRange, index: int) -> float:
    """Return the value ``index`` steps above ``low``."""
    if domain.step is None:
        raise ValueError(f"{domain} has no step")
    return into(domain, domain.low + index * domain.step)


def into(domain: SearchRange, value: float) -> float:
    """Convert a value to the range's type, and clip it to the range against rounding errors."""
    inside = min(max(value, domain.low), domain.high)
    return round(inside) if is_whole(domain) else float(inside)
