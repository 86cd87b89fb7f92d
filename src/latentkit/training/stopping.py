"""A signal's wish that training stops, which is met at the end of a step.

This file imports no torch, because the handler of the signal is set before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_heeds = False
_asked = False


def ask() -> bool:
    """Ask the training to save its state and stop; return False if none would hear it."""
    global _asked
    _asked = _heeds
    return _heeds


def is_asked() -> bool:
    """Return whether this process was asked to stop."""
    return _asked


@contextmanager
def heeding() -> Iterator[None]:
    """Hear what `ask` says, until the ``with`` block ends."""
    global _heeds, _asked
    _heeds, _asked = True, False
    try:
        yield
    finally:
        _heeds = False
