"""The decorator of all compiled functions: the second process does not compile again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*, parallel: bool = False) -> Callable[[Function], Function]:
    """Compile a function with numba on its first call, and keep the machine code on disk.

    numba keeps it beside the source or in the user's cache folder; where it may write to neither,
    each process compiles for itself.
    """

    def decorate(function: Function) -> Function:
        njit: Any = numba.njit
        try:
            return cast("Function", njit(function, cache=True, parallel=parallel, nogil=True))
        except RuntimeError:  # numba found no folder for the machine code
            return cast("Function", njit(function, parallel=parallel, nogil=True))

    return decorate
