"""Helpers of all checks: the part that is checked, assertions, and random states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from latentkit.plugin.options import Options
from latentkit.plugin.specs import Spec
from latentkit.registry.catalogue import Part


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


@dataclass(frozen=True)
class Subject:
    """A part to check, with its options.

    Args:
        part: part from `latentkit.registry.catalogue.Registry.get`.
        values: options that differ from their defaults, such as fewer steps to save time.
        data: folder of data sets; None if nothing may be downloaded or searched for.
    """

    part: Part
    values: Mapping[str, Any] = field(default_factory=dict)
    data: Path | None = None

    @property
    def spec(self) -> Spec:
        """The plugin's declaration of the part."""
        return self.part.spec

    def options(self, **changes: Any) -> Options:
        """Return the options that the part is checked with, updated with ``changes``."""
        return self.part.options({**self.values, **changes})

    def has_option(self, name: str) -> bool:
        """Return whether the part has an option ``name``."""
        return name in self.part.options_type().model_fields

    def build(self, *arguments: Any, **changes: Any) -> Any:
        """Call the part's target with its options, updated with ``changes``, and ``arguments``."""
        return self.part.target()(self.options(**changes), *arguments)


Check = Callable[[Subject], None]
"""A function that raises an `AssertionError` with one sentence if the contract is broken."""
