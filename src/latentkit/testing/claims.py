"""What every check is made of: a claim with its sentence, and randomness that is under control."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def claim(holds: bool, otherwise: str) -> None:
    """Raise an `AssertionError` that says ``otherwise``, unless the claim holds.

    An ``assert`` statement would be silent under ``python -O``.
    """
    if not holds:
        raise AssertionError(otherwise)


def claim_refused(work: Callable[[], Any], otherwise: str) -> None:
    """Raise an `AssertionError` unless ``work`` raises."""
    try:
        work()
    except Exception:
        return
    raise AssertionError(otherwise)


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global random states of torch and NumPy, and put them back afterwards."""
    import torch

    before = np.random.get_state()  # what a part must not depend on
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
