"""What decorators make: a part, read from the source of a function or class."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from latentkit.plugin.options import NoOptions, Options
from latentkit.plugin.specs import Spec

_PART = "latentkit_part"
_PARTS = "__latentkit_parts__"


@dataclass(frozen=True)
class DecoratedPart:
    """What a decorator made: a spec, and what its target and its options name.

    It is the attribute ``latentkit_part`` of what is decorated, so that the strings of the spec
    name it: ``module:shade.latentkit_part.build``.
    """

    spec: Spec
    decorated: Callable[..., Any]
    options: type[Options]
    build: Callable[..., Any]


def decorated_parts(plugin: object) -> list[DecoratedPart]:
    """Return the parts that decorators made in a module, in their order.

    Raises:
        ValueError: the name of a decorated function or class has another meaning by now.
    """
    if not isinstance(plugin, ModuleType):  # an entry point may also name an object
        return []
    parts: list[DecoratedPart] = vars(plugin).get(_PARTS, [])
    for part in parts:
        name, kind = part.decorated.__name__, part.spec.kind
        if vars(plugin).get(name) is not part.decorated:
            raise ValueError(
                f"{name!r} no longer means what @{kind} decorated: use each name once, and put "
                f"@{kind} above other decorators"
            )
    return parts


class Decorated:
    """The function or class below a decorator, and what is read from its source.

    Args:
        kind: the kind of part, which is the decorator's name.
        thing: what is decorated.
        classes: whether the decorator takes classes too.

    Raises:
        TypeError: it is no function or class, is not at the top level of a module, is decorated
            already, or has no docstring.
    """

    def __init__(self, kind: str, thing: Any, *, classes: bool = False) -> None:
        self.kind = kind
        self.thing = thing
        if not (inspect.isfunction(thing) or (classes and inspect.isclass(thing))):
            what = "a function or a class" if classes else "a function"
            raise self.fault(f"this is not {what}: write the decorator above its definition")
        if not thing.__qualname__.isidentifier() or thing.__module__ not in sys.modules:
            raise self.fault("define it at the top level of a module, where latentkit can find it")
        if _PART in vars(thing):
            raise self.fault("it has two decorators that make a part: keep one of them")
        if not (thing.__doc__ or "").strip():
            raise self.fault("it has no docstring: its first line says what the part does")

    @property
    def part_name(self) -> str:
        """The name of the function or class, in lower case and with hyphens."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", self.thing.__name__)
        return words.replace("_", "-").lower()

    def fault(self, why: str) -> TypeError:
        """Return the error that says why no part can be made."""
        shown = getattr(self.thing, "__qualname__", None) or repr(self.thing)[:60]
        return TypeError(f"@{self.kind} {shown}: {why}")

    def check_takes(self, *names: str, least: int | None = None) -> int:
        """Check what the function takes before its options, and return how much that is.

        Args:
            *names: what latentkit gives; a function may call it otherwise.
            least: how many of them the function may take; all of them by default.

        Raises:
            TypeError: the function takes more or less.
        """
        taken = [p.name for p in self._parameters() if p.kind is not p.KEYWORD_ONLY]
        if not (least or len(names)) <= len(taken) <= len(names):
            raise self.fault(
                f"it takes ({', '.join(taken)}), expected ({', '.join(names)}), and then its "
                f"options after a *, as in ({', '.join(names)}, *, size: int = 3)"
            )
        return len(taken)

    def _parameters(self) -> list[inspect.Parameter]:
        parameters = list(inspect.signature(self.thing).parameters.values())
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise self.fault(f"it takes {parameter}: name each option instead")
        return parameters

    def offer(
        self,
        build: Callable[..., Any],
        spec_type: Callable[..., Spec],
        *,
        name: str,
        tags: Collection[str],
        requires: Collection[str],
    ) -> None:
        """Make the part, and record it in its module, where the loader finds it.

        Args:
            build: what the target of this kind of part does.
            spec_type: makes the spec from the fields that all kinds have.
            name: name of the part; empty for `part_name`.
            tags: tags of the spec.
            requires: requirements of the spec.

        Raises:
            TypeError: an option cannot be read.
            ValueError: a field of the spec is not valid.
        """
        thing, options = self.thing, self._options()
        where = f"{thing.__module__}:{thing.__name__}.{_PART}"
        first_line, _, _ = inspect.cleandoc(thing.__doc__).partition("\n")
        spec = spec_type(
            name=name or self.part_name,
            summary=first_line.strip().removesuffix("."),
            target=f"{where}.build",
            options=None if options is NoOptions else f"{where}.options",
            tags=tags,
            requires=requires,
        )
        build.__module__, build.__qualname__ = thing.__module__, f"{thing.__name__}.{_PART}.build"
        part = DecoratedPart(spec, thing, options, build)
        setattr(thing, _PART, part)
        vars(sys.modules[thing.__module__]).setdefault(_PARTS, []).append(part)

    def _options(self) -> type[Options]:
        meanings = dict(_described_arguments(self.thing.__doc__))
        fields: dict[str, Any] = {}
        for parameter in self._parameters():
            if parameter.kind is parameter.KEYWORD_ONLY:
                kind = self._type_of(parameter)
                stated = [one.description for one in _metadata(kind) if isinstance(one, FieldInfo)]
                description = next(filter(None, stated), meanings.get(parameter.name))
                fields[parameter.name] = (kind, Field(parameter.default, description=description))
        if not fields:
            return NoOptions
        name, module = self.thing.__name__, self.thing.__module__
        try:
            options = create_model(f"{name}_options", __base__=Options, __module__=module, **fields)
            options()
        except ValidationError as error:
            first = error.errors()[0]
            shown = f"the default of option {first['loc'][0]!r}, {first['input']!r},"
            raise self.fault(f"{shown} is not valid: {first['msg']}") from error
        except Exception as error:  # pydantic raises many kinds for a Field that does not fit
            raise self.fault(f"the types of its options do not work: {error}") from error
        options.__qualname__ = f"{name}.{_PART}.options"  # where pickle finds it
        return options

    def _type_of(self, parameter: inspect.Parameter) -> Any:
        """Return the type of an option after checking the option.

        Raises:
            TypeError: its name, type or default cannot be used.
        """
        name, default, kind = parameter.name, parameter.default, parameter.annotation
        if name == "name" or name.startswith("_") or hasattr(Options, name):
            raise self.fault(f"an option cannot be called {name!r}, which has another meaning")
        if default is parameter.empty:
            raise self.fault(f"option {name!r} has no default: write one after a =")
        if kind is parameter.empty:
            plain = isinstance(default, bool | int | float | str)
            shown = f"{name}: {type(default).__name__ if plain else 'TYPE'} = {default!r}"
            raise self.fault(f"option {name!r} has no type: write {shown}")
        if isinstance(default, FieldInfo):
            raise self.fault(
                f"the default of option {name!r} is a Field: write {name}: Annotated[TYPE, "
                f"Field(...)] = DEFAULT"
            )
        if isinstance(kind, str):
            kind = self._evaluated(name, kind)
        if not _is_supported(kind):
            raise self.fault(
                f"option {name!r} has the type {inspect.formatannotation(kind)}: use bool, int, "
                f"float, str, Literal, or tuples of them"
            )
        return kind

    def _evaluated(self, name: str, annotation: str) -> Any:
        """Return the type that a text means, as after ``from __future__ import annotations``."""
        written = self.thing.__init__ if inspect.isclass(self.thing) else self.thing
        scope = getattr(inspect.unwrap(written), "__globals__", {})
        try:
            return eval(annotation, scope)  # noqa: S307  # it is code of the module itself
        except Exception as error:
            raise self.fault(f"the type of option {name!r} cannot be read: {error}") from error


def _metadata(kind: Any) -> tuple[Any, ...]:
    return get_args(kind)[1:] if get_origin(kind) is Annotated else ()


def _is_supported(kind: Any) -> bool:
    """Return whether values of a type are the same after they are written as TOML and read."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Literal:
        return all(isinstance(value, bool | int | float | str) for value in members)
    if origin is Annotated:
        return _is_supported(members[0])
    if origin in (tuple, Union, UnionType):
        return all(one is Ellipsis or _is_supported(one) for one in members)
    return kind in (bool, int, float, str, NoneType)


def _described_arguments(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield name and meaning of each argument in the section ``Args:`` of a docstring."""
    _, _, below = inspect.cleandoc(docstring).partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", below, maxsplit=1)[0]
    for entry in re.split(r"\n(?=\S)", inspect.cleandoc(f"\n{section}")):
        name, colon, meaning = entry.partition(":")
        if colon:
            yield name.partition("(")[0].strip(), " ".join(meaning.split())
