"""Text of a mean over seeds, as the benchmarks print it."""

from __future__ import annotations

from numpy.typing import ArrayLike

from latentkit.evaluation.bootstrap import replicated


def over_seeds(values: ArrayLike, style: str) -> str:
    """Return the mean ± half of Student's 95 % interval, or the value itself if there is only one.

    Args:
        values: one value for each seed.
        style: number format of the mean, such as ``"+.3f"``.
    """
    found = replicated(values)
    if found.high is None:
        return f"{found.value:{style}}"
    return f"{found.value:{style}} ± {found.high - found.value:{style.lstrip('+')}}"
