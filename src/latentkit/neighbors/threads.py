"""Threads of compiled code: as many as a run has, without a change of torch's number.

numba and torch both use OpenMP. When numba starts its threads, at its first parallel function or
the first question for their number, it sets OpenMP's number to that of all cores, and with it
torch's. Later calls change nothing. So `start_numba` starts them once, when numba is first
imported, and puts torch's number back.

This module imports neither numba nor torch, because most commands need none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_chosen: list[int] = []  # the numbers of the contexts that are open, the innermost last


def start_numba() -> None:
    """Start numba's threads, let it use as many as `numba_threads` allows, and keep torch's number.

    Call it after the import of numba, before anything asks numba for its number of threads.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    _set(_chosen[-1] if _chosen else None)
    if torch:
        torch.set_num_threads(before)


@contextmanager
def numba_threads(count: int) -> Iterator[None]:
    """Let compiled code use ``count`` threads, or all if there are fewer, until the block ends.

    This also holds for numba if it is first imported within the block. It holds for the calling
    thread, as numba's own setting does.
    """
    before = None
    if "numba" in sys.modules:
        start_numba()
        before = _number()
    _chosen.append(count)
    try:
        if before is not None:
            _set(count)
        yield
    finally:
        _chosen.pop()
        if "numba" in sys.modules:
            _set(before or (_chosen[-1] if _chosen else _most()))


def _number() -> int:
    import numba

    return int(numba.get_num_threads())


def _most() -> int:
    import numba

    return int(getattr(numba.config, "NUMBA_NUM_THREADS"))  # noqa: B009  # mypy knows no such name


def _set(count: int | None) -> None:
    """Set numba's number of threads; None only starts them."""
    import numba

    if count is None:
        numba.get_num_threads()
    else:
        numba.set_num_threads(max(1, min(count, _most())))
