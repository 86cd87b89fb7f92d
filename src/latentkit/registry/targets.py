"""Resolve specs: import targets, check requirements, and validate options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from packaging.requirements import Requirement
from pydantic import BaseModel, ValidationError

from latentkit.errors import (
    BrokenEnvironmentError,
    LatentkitError,
    PluginError,
    UserError,
    did_you_mean,
)
from latentkit.plugin.options import NoOptions, Options
from latentkit.plugin.specs import Spec
from latentkit.registry.conduct import observed
from latentkit.registry.demands import demand, demand_of

M = TypeVar("M", bound=BaseModel)


def resolve_target(target: str, owner: str) -> Any:
    """Import ``"package.module:attribute"``; output of the import goes to stderr.

    Args:
        target: the import path.
        owner: the part that names the target, for the error message.

    Raises:
        PluginError: the target cannot be imported.
    """
    module, _, attribute = target.partition(":")
    try:
        with observed():
            return getattr(import_module(module), attribute)
    except LatentkitError:
        raise
    # Catch SystemExit too: a module that is also a script must not stop latentkit.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{owner} names {target!r}, which cannot be imported: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def fault_of(what: str) -> Iterator[None]:
    """Turn any exception from a part's own code into an error that names the part.

    Args:
        what: the part and what it failed to do, for the error message.

    Raises:
        PluginError: the block raised an exception that is not a `LatentkitError`.
    """
    try:
        yield
    except LatentkitError:
        raise
    except Exception as error:
        raise PluginError(f"{what}: {type(error).__name__}: {error}") from error


def check_requirements(spec: Spec) -> None:
    """Check that the requirements of ``spec`` are installed, without importing them.

    Raises:
        BrokenEnvironmentError: a requirement is missing or too old; the message gives the install
            command.
    """
    if missing := missing_requirements(spec):
        quoted = " ".join(f"'{item}'" for item in missing)
        raise BrokenEnvironmentError(
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
        raise PluginError(f"{spec.kind} {spec.name!r}: {spec.options} is not a subclass of Options")
    return found


def validate(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Build a pydantic model; report the first fault in one line.

    Args:
        model: the class.
        values: its fields.
        where: what the fields belong to, e.g. ``"model conv-ae"``, for the error message.

    Raises:
        UserError: a key is unknown, or a value has the wrong type or range.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(_explain(error, model, values, where)) from error


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
        return f"{where} has no option {key!r}{did_you_mean(key, known)}{listed}"
    if first["type"] == "missing":
        return f"{where} needs the option {key!r}, which has no default"
    # pydantic reports one fault for each member of a union; the message combines them.
    same = [fault for fault in faults if fault["loc"][:1] == first["loc"][:1]]
    if not key:
        return f"{where}: {demand(same)}"
    whole = values.get(key, first["input"])
    return f"{where}: {key} = {whole!r} is not valid: {demand_of(whole, same)}"
