"""The subject of a check: a part from the registry, and the options to check it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentkit.plugin.options import Options
from latentkit.plugin.specs import Spec
from latentkit.registry.catalogue import Part


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
