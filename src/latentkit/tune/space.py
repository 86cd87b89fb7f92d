"""The search space of a study: ranges that options declare, and ranges that a user gives."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from latentkit.config import RunConfig, build_config, parse_value
from latentkit.errors import UserError
from latentkit.plugin.options import SearchChoice, SearchDomain, SearchRange, search_domains
from latentkit.registry.catalogue import Registry

_GREATEST = sys.float_info.max
_MOST_TEXT, _MOST_BRACKETS, _SHOWN_TEXT = 10_000, 200, 60
_FORM = "write KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:step=S, or KEY=A,B,C"


def parse_search(text: str) -> tuple[str, SearchDomain]:
    """Split ``"part.key=low..high"`` or ``"part.key=a,b"`` into the key and its domain.

    Raises:
        UserError: the text has neither form, or a range is empty or reversed.
    """
    if len(text) > _MOST_TEXT or text.count("[") > _MOST_BRACKETS:
        raise UserError(
            f"--search {_short(text)}: it has more than {_MOST_TEXT:,} characters or "
            f"{_MOST_BRACKETS} brackets; {_FORM}"
        )
    key, equals, domain = (part.strip() for part in text.partition("="))
    if not equals or not key or not domain:
        raise UserError(f"--search {_short(text)}: {_FORM}")
    if ".." in domain and not domain.startswith(("[", '"', "'")):
        return key, _range(text, domain)
    values = tuple(_values(domain))
    if len(values) < 2:
        raise UserError(f"--search {_short(text)}: fewer than two values to choose from; add more")
    return key, SearchChoice(values)


def _range(text: str, domain: str) -> SearchRange:
    ends, _, how = domain.partition(":")
    low, _, high = ends.partition("..")
    name, _, step = how.partition("=")
    if (how and how != "log") and name != "step":
        raise UserError(f"--search {_short(text)}: {_FORM}")
    try:
        bounds = _number(low), _number(high)
        width = _number(step) if name == "step" else None
    except ValueError:
        raise UserError(f"--search {_short(text)}: {_FORM}") from None
    if width is not None and width <= 0:
        raise UserError(f"--search {_short(text)}: a step must be more than 0")
    if bounds[0] >= bounds[1]:
        kind = "empty" if bounds[0] == bounds[1] else "reversed"
        raise UserError(f"--search {_short(text)}: the range is {kind}; the lower end comes first")
    try:
        return SearchRange(*bounds, log=how == "log", step=width)
    except ValueError as error:
        raise UserError(f"--search {_short(text)}: {error}") from error


def _number(text: str) -> float:
    number = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    if not abs(number) <= _GREATEST:
        raise ValueError(f"{text} is too large, or no number")
    return number


def _values(text: str) -> Iterable[Any]:
    """Return the values of a list. Words need no quotes; nested lists need brackets."""
    try:
        return list(parse_value(f"[{text}]"))
    except ValueError:
        return [_plain(word.strip()) for word in text.split(",") if word.strip()]


def _plain(word: str) -> Any:
    try:
        return parse_value(word)
    except ValueError:
        return word


def _short(text: str) -> str:
    """Return a text in quotation marks, cut to a length that fits into a message."""
    return repr(text) if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]!r}..."


def checked_domain(
    key: str, domain: SearchDomain, config: RunConfig, registry: Registry
) -> SearchDomain:
    """Return a domain with its values converted by the option, for example to whole numbers.

    Raises:
        UserError: the option is unknown, or rejects an end of the range or one of the values.
    """
    if isinstance(domain, SearchChoice):
        return SearchChoice(tuple(_taken(key, v, config, registry) for v in domain.values))
    low, high = (_taken(key, end, config, registry) for end in (domain.low, domain.high))
    if not all(isinstance(end, int | float) for end in (low, high)):
        raise UserError(f"--search {key}: it is not a number, so list its values: {key}=A,B")
    return SearchRange(low, high, log=domain.log, step=domain.step)


def check_known(key: str, config: RunConfig, registry: Registry) -> None:
    """Refuse a key that no part of the configuration has.

    Raises:
        UserError: the key is unknown; the message suggests the nearest one.
    """
    part, _, option = key.rpartition(".")
    try:
        known = option in value_of(config, part)
    except KeyError:
        known = False
    if not known:
        _build(key, None, config, registry, "--fix")  # raises with a precise message
        raise UserError(f"--fix {key}: there is no such option")


def _taken(key: str, value: Any, config: RunConfig, registry: Registry) -> Any:
    """Return a value as the option stores it."""
    return option_of(_build(key, value, config, registry, "--search"), key)


def _build(key: str, value: Any, config: RunConfig, registry: Registry, flag: str) -> RunConfig:
    try:
        return build_config(config.as_dict(), registry, overrides={key: value})
    except UserError as error:
        said = str(error).removeprefix("-o ")
        raise UserError(f"{flag} {said if said.startswith(key) else f'{key}: {said}'}") from error


def option_of(config: RunConfig, key: str) -> Any:
    """Return the value of an option, ``"part.key"``."""
    part, _, option = key.rpartition(".")
    return value_of(config, part)[option]


def value_of(config: RunConfig, part: str) -> Mapping[str, Any]:
    """Return the options of a part of a configuration; ``""`` is the run itself."""
    many = (*config.corruptions, *config.embeddings)
    parts = {config.model.name: config.model, config.dataset.name: config.dataset}
    parts |= {"model": config.model, "dataset": config.dataset}
    parts |= {each.name: each for each in many if each.name not in parts}
    sections = {"training": config.training, "split": config.split, "": config.run}
    return dict(sections[part] if part in sections else parts[part].options)


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

    Also refuse to search the device, because a trial cannot be blamed for one that is missing.

    Raises:
        UserError: the key is such an option.
    """
    part, _, option = key.rpartition(".")
    if key == "device":
        raise UserError(
            f"--search {key}: a study runs on one kind of device: choose it with --device"
        )
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
