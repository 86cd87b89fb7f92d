"""Domains from the text that a user writes after ``--search``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from latentkit.config import RunConfig, build_config
from latentkit.errors import UserError
from latentkit.plugin.options import SearchChoice, SearchDomain, SearchRange
from latentkit.registry.catalogue import Registry

_FORM = "write KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:step=S, or KEY=A,B,C"


def parse_search(text: str) -> tuple[str, SearchDomain]:
    """Split ``"part.key=low..high"`` or ``"part.key=a,b"`` into the key and its domain.

    Raises:
        UserError: the text has neither form, or a range is empty or reversed.
    """
    key, equals, domain = (part.strip() for part in text.partition("="))
    if not equals or not key or not domain:
        raise UserError(f"--search {text!r}: {_FORM}")
    if ".." in domain and not domain.startswith(("[", '"', "'")):
        return key, _range(text, domain)
    values = tuple(_values(domain))
    if len(values) < 2:
        raise UserError(f"--search {text!r}: fewer than two values to choose from; add more")
    return key, SearchChoice(values)


def _range(text: str, domain: str) -> SearchRange:
    ends, _, how = domain.partition(":")
    low, _, high = ends.partition("..")
    name, _, step = how.partition("=")
    if (how and how != "log") and name != "step":
        raise UserError(f"--search {text!r}: {_FORM}")
    try:
        bounds = _number(low), _number(high)
        width = _number(step) if name == "step" else None
    except ValueError:
        raise UserError(f"--search {text!r}: {_FORM}") from None
    if bounds[0] >= bounds[1]:
        kind = "empty" if bounds[0] == bounds[1] else "reversed"
        raise UserError(f"--search {text!r}: the range is {kind}; the lower end comes first")
    try:
        return SearchRange(*bounds, log=how == "log", step=width)
    except ValueError as error:
        raise UserError(f"--search {text!r}: {error}") from error


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _values(text: str) -> Iterable[Any]:
    """Return the values of a list. Words need no quotes; nested lists need brackets."""
    try:
        return list(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return [_plain(word.strip()) for word in text.split(",") if word.strip()]


def _plain(word: str) -> Any:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word


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
