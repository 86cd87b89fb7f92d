"""What to say to whom an option, or the part that has it, is not where it was looked for."""

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
    """Return the flags that choose the parts called ``name``, or the empty string."""
    kinds = [part.spec.kind for part in registry.parts() if part.is_called(name)]
    return " or ".join(f"{_FLAGS[kind]} {name}" for kind in kinds if kind in _FLAGS)


def places_of(
    option: str,
    registry: Registry,
    parts: Iterable[tuple[str, str, str]],
    sections: Mapping[str, type[Options]],
) -> list[str]:
    """Return ``place.option`` for each place of a run that has such an option.

    Args:
        option: its name.
        registry: where parts are looked up.
        parts: place, kind and name of each part of the run; names may be unknown.
        sections: by place.
    """
    fields = {place: sections[place].model_fields for place in sections}
    for place, kind, name in parts:
        for part in registry.parts(kind):
            if part.is_called(name):
                fields[place] = part.options_type().model_fields
    return [f"{place}.{option}" for place, known in fields.items() if option in known]
