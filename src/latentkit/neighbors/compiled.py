"""Decorator for compiled functions; later processes reuse the machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*, parallel: bool = False) -> Callable[[Function], Function]:
    """Compile a function with numba on its first call, and keep the machine code on disk.

    numba keeps the code next to the source or in the user's cache folder. If it can write to
    neither, each process compiles the function again.
    """

    def decorate(function: Function) -> Function:
        njit: Any = numba.njit
        try:
            return cast("Function", njit(function, cache=True, parallel=parallel, nogil=True))
        except RuntimeError:  # numba found no folder for the machine code
            return cast("Function", njit(function, parallel=parallel, nogil=True))

    return decorate
