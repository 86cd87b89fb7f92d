"""Figures with their standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error, which is 0 if nothing was sampled."""

    value: float
    standard_error: float


def mean_of_sample(values: NDArray[np.floating[Any]], population: int) -> Estimate:
    """Estimate the mean of a population from a simple random sample of it.

    Args:
        values: the sample, drawn without replacement; at least two values unless it is the whole
            population.
        population: size of the population. If all of it is sampled, the mean is exact.
    """
    if len(values) == population:
        return Estimate(float(values.mean()), 0.0)
    left_out = 1 - len(values) / population  # the finite population correction
    return Estimate(float(values.mean()), float(values.std(ddof=1)) * _root(left_out, len(values)))


def _root(share: float, count: int) -> float:
    return math.sqrt(share / count)
