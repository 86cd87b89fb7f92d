"""Bootstrap intervals (B. Efron 1979), and means over repetitions with different seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import stdtrit

CONFIDENCE = 0.95
RESAMPLES = 1_000
_MOST_DRAWS = 100_000_000
_FEWEST_RESAMPLES = 200
_CHUNK = 50  # most resamples at once
_MOST_VALUES = 2**24  # of the counts and the sums of these resamples, to limit the memory

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Function from sums over items (..., M) to figures (...)."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A figure, its standard error, and the interval of `CONFIDENCE` around it."""

    value: float
    standard_error: float
    low: float
    high: float


class Bootstrap:
    """Resamples of the N test items, shared by all figures of an evaluation card.

    Each resample draws N items with replacement.

    Args:
        n: number of items.
        seed: seed of the draws.
    """

    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.resamples = max(_FEWEST_RESAMPLES, min(RESAMPLES, _MOST_DRAWS // n))
        self._counts = np.empty((self.resamples, n), np.uint8)
        for row in self._counts:
            # A count above 255 has a probability below 1e-300.
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n)

    def of_mean(self, values: NDArray[Any]) -> Interval:
        """Return the mean of ``values`` (N,), with the usual standard error of a mean."""
        values = np.asarray(values, np.float64)
        n = len(values)
        center = float(values.mean())
        sums = np.concatenate(list(self._sums((values - center)[:, None])))
        error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
        return Interval(center, error, *_ends(center + sums[:, 0] / n))

    def of(self, statistic: Statistic, columns: NDArray[Any] | csr_array) -> Interval:
        """Return a figure that is a function of the sums of ``columns`` (N, M).

        Resamples repeat items, which biases such a function. So the resampled figures are shifted
        until their mean is the figure itself.
        """
        if not isinstance(columns, csr_array):
            columns = np.asarray(columns, np.float64)
        drawn = np.concatenate([statistic(sums) for sums in self._sums(columns)])
        value = float(statistic(np.asarray(columns.sum(0))))
        return Interval(value, float(drawn.std(ddof=1)), *_ends(drawn - drawn.mean() + value))

    def _sums(self, columns: NDArray[np.float64] | csr_array) -> Iterator[NDArray[np.float64]]:
        """Yield the sums of ``columns`` (N, M) over some resamples at a time, (resamples, M)."""
        size = min(_CHUNK, max(1, _MOST_VALUES // max(columns.shape)))
        for start in range(0, self.resamples, size):
            yield self._counts[start : start + size].astype(np.float64) @ columns


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(drawn, [tail, 1 - tail])
    # The difference of two counts may be 0, and rounding should not put it on one side.
    ends[np.abs(ends) < _ROUNDING * np.abs(drawn).max()] = 0.0
    return float(ends[0]), float(ends[1])


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
