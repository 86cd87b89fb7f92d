"""Training without importing torch's compiler, which nothing here uses.

torch marks or wraps the methods of its optimisers so that ``torch.compile`` skips them. Both the
first call of a marked method and the wrapper of ``step`` import the compiler and all that it needs
(sympy, triton, torch.onnx). This costs 150 MB, and seconds of every run.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer

_MARK = "__dynamo_disable"  # set by torch._compile; if torch renames it, the compiler is imported


@contextmanager
def without_compiler() -> Iterator[None]:
    """Mark the methods of torch's optimisers, and remove the marks at the end.

    If the compiler is already imported, nothing happens. If it is imported within the context, it
    works, except for optimisers in compiled code.
    """
    unmarked = [] if "torch._dynamo" in sys.modules else list(_unmarked_methods())
    for method in unmarked:
        setattr(method, _MARK, method)
    try:
        yield
    finally:
        for method in unmarked:
            if getattr(method, _MARK, None) is method:
                delattr(method, _MARK)


def _unmarked_methods() -> Iterator[Callable[..., Any]]:
    for member in vars(Optimizer).values():
        method = getattr(member, "__wrapped__", None)
        if method is not None and not hasattr(method, _MARK):
            yield method


@torch.no_grad()
def take_step(optimizer: Optimizer) -> None:
    """Run ``optimizer.step()`` without its hooks and without its wrappers for the compiler."""
    inspect.unwrap(type(optimizer).step)(optimizer)
