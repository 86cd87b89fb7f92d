"""What is checked: a part as the registry finds it, and the options it is checked with."""

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
    """A part under examination.

    Args:
        part: from `latentkit.registry.catalogue.Registry.get`.
        values: options that differ from their defaults, such as fewer steps, to be quick.
        data: the folder of data sets; None where nothing may be downloaded or looked for.
    """

    part: Part
    values: Mapping[str, Any] = field(default_factory=dict)
    data: Path | None = None

    @property
    def spec(self) -> Spec:
        """What the plugin says of the part."""
        return self.part.spec

    def options(self, **changes: Any) -> Options:
        """Return the options that the part is checked with, some of them changed."""
        return self.part.options({**self.values, **changes})

    def has_option(self, name: str) -> bool:
        """Return whether the part can be told ``name``."""
        return name in self.part.options_type().model_fields

    def build(self, *arguments: Any, **changes: Any) -> Any:
        """Call the part's target with its options, some changed, and what else it takes."""
        return self.part.target()(self.options(**changes), *arguments)


Check = Callable[[Subject], None]
"""Raises an `AssertionError` of one sentence where the subject breaks its contract."""
