"""The search space of a study: ranges that options declare, and ranges that a user gives."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from latentkit.config import RunConfig
from latentkit.errors import UserError
from latentkit.plugin.options import SearchChoice, SearchDomain, SearchRange, search_domains
from latentkit.registry.catalogue import Registry
from latentkit.tuning.ranges import check_known, checked_domain

Space = Mapping[str, SearchDomain]


def search_space(
    config: RunConfig,
    registry: Registry,
    searched: Space | None = None,
    fixed: Collection[str] = (),
) -> dict[str, SearchDomain]:
    """Return the domains to search for a configuration, by ``"part.key"``.

    These are the domains that options of model, corruptions and training declare, without fixed
    options, and the domains in ``searched``.

    Args:
        config: the configuration, which names the parts.
        registry: finds the options of the parts.
        searched: domains that replace or extend those that options declare.
        fixed: keys that are not searched.

    Raises:
        UserError: a key is unknown, an option rejects the values, a key is both searched
            and fixed, or nothing is left to search.
    """
    searched = {canonical(key, config): domain for key, domain in (searched or {}).items()}
    fixed = {canonical(key, config) for key in fixed}
    for key in fixed:
        check_known(key, config, registry)
        if key in searched:
            raise UserError(f"{key} is both searched and fixed: remove one of the two")
    space = {key: domain for key, domain in _carried(config).items() if key not in fixed}
    for key, domain in searched.items():
        _check_comparable(key, config)
        space[key] = checked_domain(key, domain, config, registry)
    if not space:
        raise UserError(
            f"there is nothing to search: every option of model {config.model.name!r} and training "
            f"is fixed or has no search range; give a range with --search"
        )
    return space


def _check_comparable(key: str, config: RunConfig) -> None:
    """Refuse to search an option that changes the images on which trials are measured.

    Raises:
        UserError: the key is such an option.
    """
    part, _, option = key.rpartition(".")
    if part in ("split", "dataset", config.dataset.name) or (not part and option == "seed"):
        raise UserError(
            f"--search {key}: it changes the images on which trials are measured, so their values "
            f"could not be compared; make one study for each value"
        )


def _carried(config: RunConfig) -> dict[str, SearchDomain]:
    parts = {"model": type(config.model.options), "training": type(config.training)}
    parts |= {part.name: type(part.options) for part in config.corruptions}
    return {
        f"{part}.{name}": domain
        for part, options in parts.items()
        for name, domain, _ in search_domains(options)
    }


def canonical(key: str, config: RunConfig) -> str:
    """Turn ``conv-ae.latent_dim`` into ``model.latent_dim``; leave other keys unchanged."""
    part, _, option = key.rpartition(".")
    return f"model.{option}" if part == config.model.name else key


def within(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are in the space."""
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return {
        k: listed[k] for k, domain in space.items() if k in listed and _holds(domain, listed[k])
    }


def _holds(domain: SearchDomain, value: Any) -> bool:
    if isinstance(domain, SearchChoice):
        return value in domain.values
    if not isinstance(value, int | float) or not domain.low <= value <= domain.high:
        return False
    if isinstance(domain.low, int) and isinstance(domain.high, int) and value != int(value):
        return False
    return not domain.step or math.isclose((value - domain.low) / domain.step % 1, 0, abs_tol=1e-9)


def space_as_json(space: Space) -> dict[str, Any]:
    """Return a space as a JSON object; `space_from_json` reads it back."""
    return {key: _as_json(domain) for key, domain in space.items()}


def _as_json(domain: SearchDomain) -> dict[str, Any]:
    if isinstance(domain, SearchChoice):
        return {"values": list(domain.values)}
    step = {} if domain.step is None else {"step": domain.step}
    return {"low": domain.low, "high": domain.high, "log": domain.log, **step}


def space_from_json(document: Mapping[str, Any]) -> dict[str, SearchDomain]:
    """Return the space that `space_as_json` wrote."""
    return {key: _from_json(fields) for key, fields in document.items()}


def _from_json(fields: Mapping[str, Any]) -> SearchDomain:
    if "values" in fields:
        return SearchChoice(tuple(tuple(v) if isinstance(v, list) else v for v in fields["values"]))
    return SearchRange(**fields)
