"""Targets and options of parts: import them, validate them, describe them."""

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from typing import Any, Literal, TypeVar, get_args, get_origin

from packaging.requirements import Requirement
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from latentkit import errors
from latentkit.plugin.options import NoOptions, Options, SearchDomain, SearchRange, search_domains
from latentkit.plugin.specs import Spec
from latentkit.registry.loading import observed

_SHOULD_BE = "should be "
_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
    "too_short": ("min_length", "a list of {} or more"),
    "too_long": ("max_length", "a list of {} or fewer"),
}
_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "list": "a list such as [8, 16]",
    "string": "a text",
    "tuple": "a list such as [8, 16]",
}
_KIND = re.compile(r"(\w+)_(?:type|parsing|from_float)")


def requirement(faults: Iterable[ErrorDetails]) -> str:
    """Return what a value should be, from the faults that each member of a union reports."""
    first, *others = dict.fromkeys(map(_requirement, faults))
    return " or ".join([first, *(other.removeprefix(_SHOULD_BE) for other in others)])


def requirement_with_hint(value: Any, faults: Iterable[ErrorDetails]) -> str:
    """Return what a value should be or, if a list has a wrong item, what each item should be."""
    by_member = [(_member(fault), fault) for fault in faults]
    wrong = next((member for member, _ in by_member if member is not None), None)
    if wrong is None or not isinstance(value, list | tuple):
        return requirement(fault for _, fault in by_member)
    return f"each {requirement(fault for member, fault in by_member if member == wrong)}"


def _member(fault: ErrorDetails) -> int | None:
    """Return the index of the list item that a fault belongs to, or None."""
    return next((at for at in fault["loc"] if isinstance(at, int)), None)


def _requirement(fault: ErrorDetails) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return _SHOULD_BE + text.format(_number(context[name]))
    if kind == "literal_error":
        return f"{_SHOULD_BE}{context['expected']}{_nearest(fault['input'], context['expected'])}"
    if (found := _KIND.fullmatch(kind)) and found[1] in _KINDS:
        return _SHOULD_BE + _KINDS[found[1]]
    return fault["msg"].removeprefix("Value error, ")


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _nearest(value: Any, expected: str) -> str:
    known = re.findall(r"'([^']*)'", expected)
    return errors.did_you_mean(value, known) if isinstance(value, str) and len(known) > 1 else ""


M = TypeVar("M", bound=BaseModel)


def resolve_target(target: str, owner: str) -> Any:
    """Import ``"package.module:attribute"``; output of the import goes to stderr.

    Args:
        target: the import path.
        owner: the part that names the target, for the error message.

    Raises:
        PluginError: the target cannot be imported.
        LatentkitError: memory or a shared library is missing, which is no fault of the target.
    """
    module, _, attribute = target.partition(":")
    try:
        with observed():
            return attrgetter(attribute)(import_module(module))
    except errors.LatentkitError:
        raise
    # Catch SystemExit too: a module that is also a script must not stop latentkit.
    except (Exception, SystemExit) as error:
        if found := errors.machine_error(error):
            raise found from error
        raise errors.PluginError(
            f"{owner} names {target!r}, which cannot be imported: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def fault_of(what: str) -> Iterator[None]:
    """Turn any exception from a part's own code into an error that names the part.

    A part that calls ``sys.exit`` must not end latentkit, so SystemExit is turned into one too.

    Args:
        what: the part and what it failed to do, for the error message.

    Raises:
        PluginError: the block raised an exception that is not a `LatentkitError`.
        LatentkitError: memory, disk space or a shared library is missing, which is not its fault.
    """
    try:
        yield
    except errors.LatentkitError:
        raise
    except (Exception, SystemExit) as error:
        if found := errors.machine_error(error):
            raise type(found)(f"{what}: {found}") from error
        raise errors.PluginError(f"{what}: {type(error).__name__}: {error}") from error


def check_requirements(spec: Spec) -> None:
    """Check that the requirements of ``spec`` are installed, without importing them.

    Raises:
        BrokenEnvironmentError: a requirement is missing or too old; the message gives the install
            command.
    """
    if missing := missing_requirements(spec):
        quoted = " ".join(f"'{item}'" for item in missing)
        raise errors.BrokenEnvironmentError(
            f"{spec.kind} {spec.name!r} needs {', '.join(missing)}: run  pip install {quoted}"
        )


def missing_requirements(spec: Spec) -> list[str]:
    """Return the requirements of ``spec`` that the installed packages do not meet."""
    return [item for item in spec.requires if not _is_met(Requirement(item))]


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return False
    return requirement.specifier.contains(installed, prereleases=True)


def options_type(spec: Spec) -> type[Options]:
    """Return the options class of a part.

    Raises:
        PluginError: the target is not a subclass of `Options`.
    """
    if spec.options is None:
        return NoOptions
    found = resolve_target(spec.options, f"{spec.kind} {spec.name!r}")
    if not (isinstance(found, type) and issubclass(found, Options)):
        raise errors.PluginError(
            f"{spec.kind} {spec.name!r}: {spec.options} is not a subclass of Options"
        )
    return found


def validate(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Build a pydantic model; report the first fault in one line.

    Args:
        model: the class.
        values: its fields; a path may be a `pathlib.Path`.
        where: what the fields belong to, e.g. ``"model conv-ae"``, for the error message.

    Raises:
        UserError: a key is unknown, or a value has the wrong type or range.
    """
    values = {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in values.items()}
    for key, value in values.items():
        if isinstance(value, str) and not is_utf8(value):
            raise errors.UserError(
                f"{where}: {key} = {value!r} is not UTF-8 text, in which a run is recorded: rename "
                f"the file or folder"
            )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Its own text quotes the values, which may come from a stranger's file.
        raise errors.UserError(_explain(error, model, values, where)) from None


def is_utf8(text: str) -> bool:
    """Return whether text can be written; names of files with undecodable bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _explain(
    error: ValidationError, model: type[BaseModel], values: Mapping[str, Any], where: str
) -> str:
    # Report an unknown key first, because it often causes the other faults.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    first = faults[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        known = list(model.model_fields)
        listed = f"; it has {', '.join(known)}" if known else "; it has none"
        return f"{where} has no option {key!r}{errors.did_you_mean(key, known)}{listed}"
    if first["type"] == "missing":
        return f"{where} needs the option {key!r}, which has no default"
    # pydantic reports one fault for each member of a union; the message combines them.
    same = [fault for fault in faults if fault["loc"][:1] == first["loc"][:1]]
    if not key:
        return f"{where}: {requirement(same)}"
    whole = values.get(key, first["input"])
    if first["type"] == "string_type" and len(same) == 1:
        quoted = f'{key}="..."'
        return f"{where}: {key} = {whole!r} is not text: write it in quotes, as in '{quoted}'"
    return f"{where}: {key} = {whole!r} is not valid: {requirement_with_hint(whole, same)}"


_BOUND_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


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
        raise errors.PluginError(
            f"{options.__module__}:{options.__name__} is not valid with its defaults: "
            f"{where}: {requirement([first])}"
        ) from error


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(item, name)}"
        for item in field.metadata
        for name, words in _BOUND_WORDS.items()
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
