"""Independent draws, by their number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats
from sklearn.model_selection import ParameterSampler

from latentkit.plugin import SearchRange
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.seeds import short_stream_seed
from latentkit_gridsearch.domains import into, is_whole, step_count, step_value


class Sampler:
    """Draws of which each follows from the seed and its number only.

    Args:
        space: where to look, by parameter name.
        seed: of the study.
    """

    size: int | None = None

    def __init__(self, space: Mapping[str, SearchDomain], seed: int) -> None:
        self._distributions = {name: _distribution(domain) for name, domain in space.items()}
        self._seed = seed

    def params(self, number: int) -> dict[str, Any]:
        """Return the parameters of trial ``number``."""
        seed = short_stream_seed(self._seed, "trial", number)
        (found,) = ParameterSampler(self._distributions, n_iter=1, random_state=seed)
        return dict(found)


class Drawn:
    """A scipy distribution whose draws are made values of a range.

    Args:
        distribution: frozen, with ``rvs``.
        value: turns a draw into a value.
    """

    def __init__(self, distribution: Any, value: Callable[[Any], float]) -> None:
        self._distribution = distribution
        self._value = value

    def rvs(self, random_state: np.random.RandomState) -> float:
        """Return one value, as `ParameterSampler` asks for it."""
        return self._value(self._distribution.rvs(random_state=random_state))


def _distribution(domain: SearchDomain) -> Drawn | list[Any]:
    if not isinstance(domain, SearchRange):
        return list(domain.values)
    low, high = domain.low, domain.high
    if domain.step is not None:
        steps = stats.randint(0, step_count(domain))
        return Drawn(steps, lambda step: step_value(domain, int(step)))
    if is_whole(domain) and domain.log:
        return Drawn(stats.loguniform(low, high + 1), lambda v: into(domain, math.floor(v)))
    if is_whole(domain):
        return Drawn(stats.randint(low, high + 1), lambda v: into(domain, int(v)))
    if domain.log:
        return Drawn(stats.loguniform(low, high), lambda v: into(domain, float(v)))
    return Drawn(stats.uniform(low, high - low), lambda v: into(domain, float(v)))
