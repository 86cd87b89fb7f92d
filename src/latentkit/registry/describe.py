"""Descriptions of options, for ``plugins show`` and for the generated reference."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from latentkit.errors import PluginError
from latentkit.plugin.options import SearchDomain, SearchRange, search_domains
from latentkit.registry.demands import demand

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def describe_options(options: type[BaseModel]) -> list[dict[str, Any]]:
    """Return a JSON object for each option.

    Returns:
        Objects with ``name``, ``default`` (as JSON), ``values`` (type and bounds in words),
        ``search`` (the range that a tuner searches, or the empty string) and ``description``.

    Raises:
        PluginError: an option has no default, or its default is not valid.
    """
    domains = {name: domain for name, domain, _ in search_domains(options)}
    defaults = _defaults(options)
    return [
        {
            "name": name,
            "default": defaults[name],
            "values": _values(field),
            "search": _search(domains.get(name)),
            "description": field.description or "",
        }
        for name, field in options.model_fields.items()
    ]


def _defaults(options: type[BaseModel]) -> dict[str, Any]:
    try:
        return options().model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PluginError(
            f"{options.__module__}:{options.__name__} is not valid with its defaults: "
            f"{where}: {demand([first])}"
        ) from error


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(item, name)}"
        for item in field.metadata
        for name, words in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if origin in (typing.Union, types.UnionType):
        # TOML has no None: the user gets it by leaving the option out.
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        return " | ".join(map(_type_name, members))
    if origin is typing.Annotated:
        return _type_name(get_args(annotation)[0])
    if origin is tuple:
        return f"list of {_type_name(get_args(annotation)[0])}"
    name = str(getattr(annotation, "__name__", annotation))
    return "text" if name == "str" else name


def _search(domain: SearchDomain | None) -> str:
    if domain is None:
        return ""
    if not isinstance(domain, SearchRange):
        return ", ".join(map(str, domain.values))
    extra = " log" if domain.log else f" step {domain.step}" if domain.step else ""
    return f"{domain.low}..{domain.high}{extra}"
