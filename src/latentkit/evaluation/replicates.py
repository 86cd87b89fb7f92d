"""Means over repetitions with different seeds, and their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from latentkit.evaluation.bootstrap import CONFIDENCE


@dataclass(frozen=True)
class Replicated:
    """A mean over repetitions.

    Args:
        value: the mean.
        low: lower end of the interval of `CONFIDENCE`; None if there is only one repetition.
        high: upper end of the interval; None if there is only one repetition.
        values: one value of each repetition.
    """

    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...]


def replicated(values: ArrayLike) -> Replicated:
    """Return the mean of values (R,), with Student's t interval because they are few."""
    numbers = np.asarray(values, np.float64)
    mean, n = float(numbers.mean()), len(numbers)
    each = tuple(map(float, numbers))
    if n < 2:
        return Replicated(mean, None, None, each)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    reach = quantile * float(numbers.std(ddof=1)) / math.sqrt(n)
    return Replicated(mean, mean - reach, mean + reach, each)
