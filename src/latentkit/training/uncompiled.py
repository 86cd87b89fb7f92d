"""Training without the import of torch's compiler, which nothing here uses.

The methods of torch's optimisers are marked or wrapped so that ``torch.compile`` leaves them alone.
The mark is set when a method is first called, and that, as the wrapper of ``step``, imports the
compiler with all that belongs to it (sympy, triton, torch.onnx): 150 MB, and seconds of every run.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer

_MARK = "__dynamo_disable"  # of torch._compile; where torch calls it otherwise, it is imported


@contextmanager
def without_compiler() -> Iterator[None]:
    """Give the methods of torch's optimisers their mark, and take it back at the end.

    Nothing happens where the compiler is imported already. Where somebody imports it within the
    context, it works, but for optimisers inside of what is compiled.
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
    """Do what ``optimizer.step()`` does, without its hooks and its wrappers for the compiler."""
    inspect.unwrap(type(optimizer).step)(optimizer)
