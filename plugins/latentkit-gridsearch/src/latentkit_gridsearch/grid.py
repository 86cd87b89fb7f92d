"""The points of a grid, by trial number."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from latentkit.errors import UserError
from latentkit.plugin import SearchDomain, SearchRange, short_stream_seed
from latentkit_gridsearch.domains import into, step_count, step_value
from latentkit_gridsearch.options import GridOptions

# ParameterGrid numbers its points with signed 64-bit integers and does not detect an overflow.
_MOST_POINTS = 2**62


class Grid:
    """All combinations of values in a space; the alphabetically last parameter varies fastest.

    Args:
        space: search domain of each parameter, by name.
        options: number of values per range, and the order of the points.
        seed: seed of a shuffled order.

    Raises:
        UserError: the grid has too many points to number them.
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
        """Return the parameters of trial ``number``, which must be below ``size``."""
        while len(self._taken) <= number:
            self._taken.append(next(self._order))
        found: dict[str, Any] = self._points[self._taken[number]]
        return found


def grid_values(domain: SearchDomain, points: int) -> list[Any]:
    """Return the choices, or at most ``points`` values of a range, including both its ends.

    The values are evenly spaced, in the logarithm if the range is logarithmic. Values of a range
    with a step are on its steps, values of an integer range are integers, and all are distinct.
    """
    if not isinstance(domain, SearchRange):
        return list(domain.values)
    if domain.step is not None:
        steps = np.linspace(0, step_count(domain) - 1, points).round()
        return list(dict.fromkeys(step_value(domain, int(step)) for step in steps))
    space = np.geomspace if domain.log else np.linspace
    cut = space(domain.low, domain.high, points)
    # Rounding to integers may give equal values, which ``dict.fromkeys`` removes.
    return list(dict.fromkeys(into(domain, float(value)) for value in cut))


def shuffled(size: int, generator: random.Random) -> Iterator[int]:
    """Yield 0 to ``size`` - 1 in a random order (Fisher-Yates shuffle).

    The memory grows with the number of yielded values, not with ``size``, because the shuffled
    list is only stored where it differs from its index. A grid may have a billion points.
    """
    moved: dict[int, int] = {}
    for place in range(size):
        other = generator.randrange(place, size)
        chosen, here = moved.get(other, other), moved.pop(place, place)
        if other != place:
            moved[other] = here
        yield chosen
