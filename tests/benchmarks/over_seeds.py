"""How the benchmarks write a mean over seeds."""

from __future__ import annotations

from numpy.typing import ArrayLike

from latentkit.evaluation.bootstrap import replicated


def over_seeds(values: ArrayLike, style: str) -> str:
    """Return the mean ± half of Student's 95 % interval; of one value, the value.

    Args:
        values: one of each seed.
        style: how the mean is written, such as ``"+.3f"``.
    """
    found = replicated(values)
    if found.high is None:
        return f"{found.value:{style}}"
    return f"{found.value:{style}} ± {found.high - found.value:{style.lstrip('+')}}"
