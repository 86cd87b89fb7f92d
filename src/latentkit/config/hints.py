"""Hints for error messages about options or parts that are not where the user looked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from latentkit.plugin.options import Options
from latentkit.registry.catalogue import Registry

_FLAGS = {
    "model": "--model",
    "dataset": "--dataset",
    "corruption": "--corrupt",
    "embedding": "--embed",
}


def how_to_choose(registry: Registry, name: str) -> str:
    """Return the command-line flags that choose a part called ``name``, or the empty string."""
    kinds = [part.spec.kind for part in registry.parts() if part.is_called(name)]
    return " or ".join(f"{_FLAGS[kind]} {name}" for kind in kinds if kind in _FLAGS)


def places_of(
    option: str,
    registry: Registry,
    parts: Iterable[tuple[str, str, str]],
    sections: Mapping[str, type[Options]],
) -> list[str]:
    """Return ``place.option`` for each place in a run's configuration that has this option.

    Args:
        option: name of the option.
        registry: where parts are looked up.
        parts: place, kind and name of each part of the run; names may be unknown.
        sections: place to options class, for the sections that are not parts.
    """
    fields = {place: sections[place].model_fields for place in sections}
    for place, kind, name in parts:
        for part in registry.parts(kind):
            if part.is_called(name):
                fields[place] = part.options_type().model_fields
    return [f"{place}.{option}" for place, known in fields.items() if option in known]
