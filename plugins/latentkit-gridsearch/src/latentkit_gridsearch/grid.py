"""The points of a grid, by their number."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from latentkit.errors import UserError
from latentkit.plugin import SearchRange
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.seeds import short_stream_seed
from latentkit_gridsearch.domains import into, step_count, step_value
from latentkit_gridsearch.options import GridOptions

# ParameterGrid numbers its points in signed 64 bits, and does not notice where they end.
_MOST_POINTS = 2**62


class Grid:
    """Every combination of the values of a space; the last name, by the alphabet, varies fastest.

    Args:
        space: where to look, by parameter name.
        options: into how many values a range is cut, and in which order points are taken.
        seed: of the order.

    Raises:
        UserError: the grid has too many points to be numbered.
    """

    def __init__(self, space: Mapping[str, SearchDomain], options: GridOptions, seed: int) -> None:
        values = {name: grid_values(domain, options.points) for name, domain in space.items()}
        self.size: int | None = math.prod(map(len, values.values()))
        if self.size > _MOST_POINTS:
            raise UserError(
                f"a grid of {len(space)} parameters has {self.size:.1e} points: lower grid.points "
                f"from {options.points}, or fix some of the parameters"
            )
        self._points = ParameterGrid(values)
        generator = random.Random(short_stream_seed(seed, "grid"))  # noqa: S311
        self._order = shuffled(self.size, generator) if options.shuffle else iter(range(self.size))
        self._taken: list[int] = []

    def params(self, number: int) -> dict[str, Any]:
        """Return the parameters of trial ``number``, which is below ``size``."""
        while len(self._taken) <= number:
            self._taken.append(next(self._order))
        found: dict[str, Any] = self._points[self._taken[number]]
        return found


def grid_values(domain: SearchDomain, points: int) -> list[Any]:
    """Return the choices, or at most ``points`` values of a range from its low end to its high.

    They are evenly spaced, in the logarithm where the range is logarithmic. A range with a step
    is cut on its steps, one of integers on integers, and no value is there twice.
    """
    if not isinstance(domain, SearchRange):
        return list(domain.values)
    if domain.step is not None:
        steps = np.linspace(0, step_count(domain) - 1, points).round()
        return list(dict.fromkeys(step_value(domain, int(step)) for step in steps))
    space = np.geomspace if domain.log else np.linspace
    cut = space(domain.low, domain.high, points)
    # Ties round to even, and 2.5 to the 2 that 2.4 gives: what is equal is dropped.
    return list(dict.fromkeys(into(domain, float(value)) for value in cut))


def shuffled(size: int, generator: random.Random) -> Iterator[int]:
    """Yield 0 to ``size`` - 1 in a random order (Fisher and Yates), keeping what was yielded only.

    A grid of a billion points is never laid out: the list that is shuffled exists where it
    differs from its index.
    """
    moved: dict[int, int] = {}
    for place in range(size):
        other = generator.randrange(place, size)
        chosen, here = moved.get(other, other), moved.pop(place, place)
        if other != place:
            moved[other] = here
        yield chosen
