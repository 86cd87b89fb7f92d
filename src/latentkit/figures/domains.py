"""Axis scales for search domains: positions of values, and ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from latentkit.figures.style import cut
from latentkit.plugin.options import SearchChoice, SearchDomain, SearchRange, option_text

NAME_LENGTH = 16  # most characters in the name of a choice or an option
_TICKS = 5
_MOST_CHOICES = 24  # with more choices, some have no tick
_SPREAD = 0.5  # share of a choice's width over which its trials are spread

Ticks = list[tuple[float, str]]


def shares(
    domain: SearchDomain, values: Sequence[Any] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the positions of values in their domain: 0 is its low end, 1 its high end."""
    if isinstance(domain, SearchChoice):
        return (spread_choices(domain, values) + 0.5) / len(domain.values)
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    low, high = domain.low, domain.high
    if domain.log:
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    return (numbers - low) / (high - low)


def spread_choices(
    domain: SearchChoice, values: Sequence[Any] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the index of each value's choice; equal values are spread around that index.

    Args:
        domain: the choices.
        values: (N,); a value that is not a choice gives NaN.
    """
    places = np.array(
        [domain.values.index(v) if v in domain.values else np.nan for v in values], np.float64
    )
    for choice in range(len(domain.values)):
        own = np.flatnonzero(places == choice)
        if len(own) > 1:
            places[own] += np.linspace(-_SPREAD / 2, _SPREAD / 2, len(own))
    return places


def ticks_of(domain: SearchDomain) -> Ticks:
    """Return the axis ticks of a domain: values and their texts; choices have their index."""
    if isinstance(domain, SearchChoice):
        every = -(-len(domain.values) // _MOST_CHOICES)
        texts = [cut(option_text(value, NAME_LENGTH), NAME_LENGTH) for value in domain.values]
        return [(float(number), text) for number, text in enumerate(texts)][::every]
    values = _log_values(domain.low, domain.high) if domain.log else _even_values(domain)
    return list(zip(values, _texts(values), strict=True))


def _texts(values: Sequence[float]) -> list[str]:
    """Format numbers with four digits, or with more if they need them to differ."""
    slack = 0.02 * min(np.diff(values), default=math.inf)
    for digits in range(4, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if all(
            abs(float(text) - value) <= slack for text, value in zip(texts, values, strict=True)
        ):
            break
    return texts


def _log_values(low: float, high: float) -> list[float]:
    """Return two to five round numbers in a logarithmic range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tolerance = 1 + 1e-9
    for steps in ((1, 2, 5), (1, 3), (1,)):
        round_numbers = [step * 10.0**power for power in powers for step in steps]
        inside = [v for v in round_numbers if low / tolerance <= v <= high * tolerance]
        if 2 <= len(inside) <= _TICKS:
            return inside
    return inside[:: -(-len(inside) // _TICKS)] if len(inside) > _TICKS else [low, high]


def _even_values(domain: SearchRange) -> list[float]:
    whole = isinstance(domain.low, int) and isinstance(domain.high, int)
    whole = whole and (domain.step is None or isinstance(domain.step, int))
    values = MaxNLocator(_TICKS - 1, integer=whole).tick_values(domain.low, domain.high)
    return [float(value) for value in values if domain.low <= value <= domain.high]


def parameter_name(name: str) -> str:
    """Break a name such as ``model.latent_dim`` into two lines and shorten long ones."""
    return ".\n".join(cut(part, NAME_LENGTH) for part in name.split(".", 1))
