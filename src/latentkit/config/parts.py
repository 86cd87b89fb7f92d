"""Choose parts: from a configuration table to the named part, with validated options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentkit.config.options import MapOptions
from latentkit.config.run import MapConfig, PartConfig
from latentkit.errors import UserError
from latentkit.registry.catalogue import Part, Registry
from latentkit.registry.targets import validate


def choose_part(registry: Registry, kind: str, table: Mapping[str, Any]) -> PartConfig:
    """Look up a part and validate its options.

    Args:
        registry: where to look.
        kind: one of the five kinds of part.
        table: ``name`` and the options.

    Raises:
        UserError: the name or a key is unknown, or a value is invalid.
    """
    values = {key: value for key, value in table.items() if key != "name"}
    try:
        part = registry.get(kind, table["name"])
    except UserError as error:
        raise _mention_broken_plugins(error, registry) from error
    return PartConfig(registry.short_name(part), part.options(values))


def choose_map(registry: Registry, table: Mapping[str, Any]) -> MapConfig:
    """Look up an embedding; validate its options and those of its map.

    Raises:
        UserError: as `choose_part`.
    """
    own = {key: value for key, value in table.items() if key in MapOptions.model_fields}
    rest = {key: value for key, value in table.items() if key not in own}
    part = choose_part(registry, "embedding", rest)
    return MapConfig(part.name, part.options, validate(MapOptions, own, f"embedding {part.name!r}"))


def find_part(registry: Registry, kind: str, config: PartConfig) -> Part:
    """Return the registry's entry for a chosen part."""
    return registry.get(kind, config.name)


def _mention_broken_plugins(error: UserError, registry: Registry) -> UserError:
    """Add the broken plugins to the error, because the unknown name may belong to one of them."""
    if not registry.problems:
        return error
    broken = ", ".join(f"{p.plugin.name!r} of {p.plugin.distribution}" for p in registry.problems)
    return UserError(f"{error}; plugins left out because they are broken: {broken}")
