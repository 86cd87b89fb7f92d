"""Helpers of all checks: assertions with a message, and control of the random states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def claim(holds: bool, otherwise: str) -> None:
    """Raise an `AssertionError` with the message ``otherwise`` unless the claim holds.

    An ``assert`` statement would do nothing under ``python -O``.
    """
    if not holds:
        raise AssertionError(otherwise)


def claim_refused(work: Callable[[], Any], otherwise: str) -> None:
    """Raise an `AssertionError` with the message ``otherwise`` unless ``work`` raises."""
    try:
        work()
    except Exception:
        return
    raise AssertionError(otherwise)


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global random states of torch and NumPy; restore them afterwards."""
    import torch

    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
