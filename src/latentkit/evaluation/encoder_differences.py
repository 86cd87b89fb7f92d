"""Differences between two rows of encoders, and the best row of a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from latentkit.evaluation.bootstrap import CONFIDENCE, Bootstrap, replicated
from latentkit.evaluation.encoder_rows import Encoder, Json, around, column_of


def difference(one: Encoder, other: Encoder, key: str, *, paired: bool) -> Json | None:
    """Return the figure of one row minus that of another, with its 95 % interval.

    Args:
        one: a row that has the figure.
        other: another one that has it.
        key: the figure.
        paired: whether both were measured on the same test images. If both rows also have a value
            for each image, the difference is taken image by image. Its spread over seeds is taken
            seed by seed if both have the same seeds.

    Returns:
        ``value``, ``low`` and ``high``; None if a row has no interval of this figure.
    """
    figures = one.figures[key], other.figures[key]
    value = figures[0]["value"] - figures[1]["value"]
    arrays = [row.of_images.get(column_of(key).of_images, ()) for row in (one, other)]
    lengths = {len(array) for of_row in arrays for array in of_row}
    if not (paired and all(arrays) and len(lengths) == 1):
        if any(figure["low"] is None for figure in figures):
            return None
        below = math.hypot(_reach(figures[0], "low"), _reach(figures[1], "high"))
        above = math.hypot(_reach(figures[0], "high"), _reach(figures[1], "low"))
        return around(value, below, above)
    means = [np.mean(np.asarray(of_row, np.float64), 0) for of_row in arrays]
    found = _draws(lengths.pop()).of_mean(means[0] - means[1])
    of_runs = [np.array([array.mean(dtype=np.float64) for array in of_row]) for of_row in arrays]
    spread = _spread(of_runs[0], of_runs[1], one.seeds, other.seeds)
    return around(found.value, found.value - found.low, found.high - found.value, spread)


def _reach(figure: Json, end: str) -> float:
    """Return the distance of a figure from an end of its interval."""
    return abs(float(figure["value"]) - float(figure[end]))


@lru_cache(maxsize=2)
def _draws(n: int) -> Bootstrap:
    return Bootstrap(n, 0)


def _spread(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    seeds: Sequence[int],
    other_seeds: Sequence[int],
) -> float:
    """Return half of the interval of a difference of means over seeds; 0 if none has several.

    Equal seeds are paired. If not, it is Welch's interval; a row of a single run adds nothing.
    """
    if len(one) > 1 and sorted(seeds) == sorted(other_seeds) and len(set(seeds)) == len(seeds):
        pairs = one[np.argsort(seeds)] - other[np.argsort(other_seeds)]
        found = replicated(pairs)
        return 0.0 if found.high is None else found.high - found.value
    parts = [(float(of.var(ddof=1)) / len(of), len(of)) for of in (one, other) if len(of) > 1]
    total = sum(part for part, _ in parts)
    if not total:
        return 0.0
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in parts)
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total)


def best_row(rows: Sequence[Encoder], key: str, *, paired: bool) -> Encoder | None:
    """Return the best row of a column if its interval excludes that any other is as good.

    Args:
        rows: all rows of the table.
        key: the figure.
        paired: as in `difference`; without it, there is no best row.
    """
    better, having = column_of(key).better, [row for row in rows if key in row.figures]
    if not paired or not better or len(having) < 2:
        return None
    sign = 1 if better == "high" else -1
    best = max(having, key=lambda row: sign * row.figures[key]["value"])
    for other in having:
        if other is best:
            continue
        found = difference(best, other, key, paired=paired)
        if found is None or min(sign * found["low"], sign * found["high"]) <= 0:
            return None
    return best
