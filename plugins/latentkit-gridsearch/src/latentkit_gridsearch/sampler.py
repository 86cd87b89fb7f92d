"""Independent random parameters, by trial number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats
from sklearn.model_selection import ParameterSampler

from latentkit.plugin import SearchDomain, SearchRange, short_stream_seed
from latentkit_gridsearch.domains import into, is_whole, step_count, step_value


class Sampler:
    """Random parameters; each draw depends only on the seed and the trial number.

    Args:
        space: search domain of each parameter, by name.
        seed: seed of the study.
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
    """A scipy distribution whose draws are converted to values of a range.

    Args:
        distribution: frozen distribution with ``rvs``.
        value: function that converts a draw to a value.
    """

    def __init__(self, distribution: Any, value: Callable[[Any], float]) -> None:
        self._distribution = distribution
        self._value = value

    def rvs(self, random_state: np.random.RandomState) -> float:
        """Draw one value; `ParameterSampler` calls this method."""
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
