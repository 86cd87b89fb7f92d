"""What the tests of the documents share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def one_cpu() -> Iterator[None]:
    """Train on one CPU: threads that wait for each other make a busy machine many times slower.

    Processes that a test starts inherit it.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)
