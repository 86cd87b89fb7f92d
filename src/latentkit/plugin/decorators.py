"""Decorators that make a part of one function or class, for experiments in a single file.

This is a whole plugin, which ``--plugin shade.py`` loads::

    from latentkit.plugin import corruption

    @corruption
    def shade(images, generator, *, share: float = 0.25):
        \"\"\"Blacken the lower part of every image.\"\"\"
        rows = round(share * images.shape[2])
        hidden = images.clone()
        hidden[:, :, images.shape[2] - rows:] = 0
        return hidden

The part has the function's name, with hyphens. The first line of the docstring says what it does.
Its options follow the ``*``. Each has a default and a type: bool, int, float, str, ``Literal``, or
tuples or unions of these. A type may have a range, a description and markers:
``Annotated[float, Field(ge=0, le=1, description="Share of rows."), strength]``. A description may
also be in the docstring, in its section ``Args:``. The function itself is unchanged.

A decorator makes the spec that a hook would return. Its module holds the work too, and imports what
that needs, so an installed distribution declares its parts by hooks instead, and stays light. There
is no decorator for tuners.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType, NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from latentkit.plugin.options import NoOptions, Options
from latentkit.plugin.specs import CorruptionSpec, DatasetSpec, EmbeddingSpec, ModelSpec, Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentkit.plugin.images import ImageData

F = TypeVar("F", bound=Callable[..., Any])
Words = Collection[str]

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


@overload
def corruption(function: F, /) -> F: ...


@overload
def corruption(*, name: str = "", tags: Words = (), requires: Words = ()) -> Callable[[F], F]: ...


def corruption(
    function: F | None = None, /, *, name: str = "", tags: Words = (), requires: Words = ()
) -> F | Callable[[F], F]:
    """Make a corruption of ``f(images, generator, *, options) -> images``.

    What the function must do is written at `Corruption`. Mark the option that sets how strong it is
    with `strength`.

    Args:
        function: the function; omitted if the decorator has arguments.
        name: name of the part; by default the function's name, with hyphens.
        tags: as in `CorruptionSpec`.
        requires: pip requirements that must be installed before the part is used.

    Raises:
        TypeError: the part cannot be made of this function; the message says why.
        ValueError: an argument is not valid.

    Example::

        @corruption(name="my-noise")
        def noise(images, generator, *, level: Annotated[float, Field(ge=0), strength] = 0.1):
            \"\"\"Add noise of my own.\"\"\"
            noise = torch.empty_like(images).normal_(generator=generator)
            return (images + level * noise).clamp(0, 1)
    """

    def decorate(thing: F) -> F:
        source = _Source("corruption", thing)
        source.check_takes("images", "generator")

        def build(options: Options) -> Callable[..., Any]:
            return partial(thing, **_values(options))

        source.offer(build, CorruptionSpec, name=name, tags=tags, requires=requires)
        return thing

    return decorate if function is None else decorate(function)


@overload
def model(function: F, /) -> F: ...


@overload
def model(
    *, name: str = "", tags: Words = (), requires: Words = (), learning_rate: float = ...
) -> Callable[[F], F]: ...


def model(
    function: F | None = None,
    /,
    *,
    name: str = "",
    tags: Words = (),
    requires: Words = (),
    learning_rate: float = ModelSpec.learning_rate,
) -> F | Callable[[F], F]:
    """Make a model of ``f(image_shape, *, options) -> nn.Module``, or of a module's class.

    What the module must have is written at `Autoencoder`. A class takes ``image_shape`` and the
    options in its ``__init__``.

    Args:
        function: the function or class; omitted if the decorator has arguments.
        name: name of the part; by default that of the function or class, with hyphens.
        tags: as in `ModelSpec`, such as ``"encoder"`` if the module has no ``decode``.
        requires: pip requirements that must be installed before the part is used.
        learning_rate: default peak learning rate, as in `ModelSpec`.

    Raises:
        TypeError: the part cannot be made of this function or class; the message says why.
        ValueError: an argument is not valid.

    Example::

        @model(tags={"encoder", "frozen"})
        class MyPixels(torch.nn.Module):
            \"\"\"The means of the rows and columns.\"\"\"

            def __init__(self, image_shape, *, scale: float = 1.0):
                super().__init__()
                self.latent_dim = image_shape[1] + image_shape[2]
                self.scale = scale

            def encode(self, images):
                grey = self.scale * images.mean(1)
                return torch.cat([grey.mean(1), grey.mean(2)], 1)
    """

    def decorate(thing: F) -> F:
        source = _Source("model", thing, classes=True)
        source.check_takes("image_shape")

        def build(options: Options, image_shape: tuple[int, int, int]) -> Any:
            return thing(image_shape, **_values(options))

        own = partial(ModelSpec, learning_rate=learning_rate)
        source.offer(build, own, name=name, tags=tags, requires=requires)
        return thing

    return decorate if function is None else decorate(function)


@overload
def embedding(function: F, /) -> F: ...


@overload
def embedding(*, name: str = "", tags: Words = (), requires: Words = ()) -> Callable[[F], F]: ...


def embedding(
    function: F | None = None, /, *, name: str = "", tags: Words = (), requires: Words = ()
) -> F | Callable[[F], F]:
    """Make an embedding of ``f(vectors, random_state, *, options) -> coordinates``, or of a class.

    Vectors are float32 (N, D) and finite, coordinates (N, 2) or (N, 3). A function cannot place new
    points, so its part is tagged ``"transductive"``. A class takes ``random_state`` and the options
    in its ``__init__``, and has ``fit_transform``; what else it may have is written at `Embedding`.

    Args:
        function: the function or class; omitted if the decorator has arguments.
        name: name of the part; by default that of the function or class, with hyphens.
        tags: as in `EmbeddingSpec`.
        requires: pip requirements that must be installed before the part is used.

    Raises:
        TypeError: the part cannot be made of this function or class; the message says why.
        ValueError: an argument is not valid.

    Example::

        @embedding
        def my_plane(vectors, random_state, *, centred: bool = True):
            \"\"\"Show the vectors on a random plane.\"\"\"
            if centred:
                vectors = vectors - vectors.mean(0)
            axes = np.random.default_rng(random_state).normal(size=(vectors.shape[1], 2))
            return vectors @ np.linalg.qr(axes)[0]
    """

    def decorate(thing: F) -> F:
        source = _Source("embedding", thing, classes=True)
        is_class = inspect.isclass(thing)
        source.check_takes(*(("random_state",) if is_class else ("vectors", "random_state")))
        if is_class and not hasattr(thing, "fit_transform"):
            raise source.fault("it has no method fit_transform(vectors)")

        def build(options: Options, random_state: int) -> Any:
            if is_class:
                return thing(random_state, **_values(options))
            called = name or source.part_name
            return _MappedByFunction(called, thing, random_state, _values(options))

        def spec(**fields: Any) -> Spec:
            stated = EmbeddingSpec(**fields)
            return stated if is_class else replace(stated, tags=stated.tags | {"transductive"})

        source.offer(build, spec, name=name, tags=tags, requires=requires)
        return thing

    return decorate if function is None else decorate(function)


@overload
def dataset(function: F, /) -> F: ...


@overload
def dataset(*, name: str = "", tags: Words = (), requires: Words = ()) -> Callable[[F], F]: ...


def dataset(
    function: F | None = None, /, *, name: str = "", tags: Words = (), requires: Words = ()
) -> F | Callable[[F], F]:
    """Make a data set of ``f(split, *, options)`` or ``f(split, cache, *, options)``.

    ``split`` is ``"train"`` or ``"test"``, and ``cache`` a folder for downloads. The function
    returns images; images and labels; or images, labels and class names. It may also return
    `ImageData`, which has room for more. Images and labels may have any form that `to_uint8` and
    `class_codes` take. If class names are given, labels are their indices from 0.

    Args:
        function: the function; omitted if the decorator has arguments.
        name: name of the part; by default the function's name, with hyphens.
        tags: as in `DatasetSpec`; by default ``"bundled"`` if the function takes no ``cache``.
        requires: pip requirements that must be installed before the part is used.

    Raises:
        TypeError: the part cannot be made of this function; the message says why.
        ValueError: an argument is not valid.

    Example::

        @dataset
        def my_bars(split, *, count: Annotated[int, Field(ge=10)] = 400):
            \"\"\"A bright bar on 8x8 pixels, lying or standing.\"\"\"
            generator = np.random.default_rng(("train", "test").index(split))
            images, labels = np.zeros((count, 8, 8)), np.arange(count) % 2
            for image, label, place in zip(images, labels, generator.integers(0, 8, count)):
                (image if label == 0 else image.T)[place] = 1
            return images, labels, ("lying", "standing")
    """

    def decorate(thing: F) -> F:
        source = _Source("dataset", thing)
        downloads = source.check_takes("split", "cache", least=1) == 2

        def build(options: Options, split: str, cache: Any) -> ImageData:
            given = (split, cache) if downloads else (split,)
            return _image_data(thing(*given, **_values(options)))

        chosen = tags or (() if downloads else frozenset({"bundled"}))
        source.offer(build, DatasetSpec, name=name, tags=chosen, requires=requires)
        return thing

    return decorate if function is None else decorate(function)


def _values(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in type(options).model_fields}


@dataclass
class _MappedByFunction:
    """The estimator of an embedding that is a function."""

    name: str
    function: Callable[..., Any]
    random_state: int
    values: dict[str, Any]

    def fit_transform(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        import numpy as np

        from latentkit.plugin.vectors import finite_vectors

        points = finite_vectors(vectors, self.name)
        return np.asarray(self.function(points, self.random_state, **self.values))


def _image_data(returned: Any) -> ImageData:
    from latentkit.plugin.images import ImageData, class_codes, to_uint8

    if isinstance(returned, ImageData):
        return returned
    images, *rest = returned if isinstance(returned, tuple) else (returned,)
    pixels = to_uint8(images)
    if len(rest) > 2:
        raise ValueError(f"it returns {len(rest) + 1} values: images, labels, class names and more")
    if not rest or rest[0] is None:
        return ImageData(pixels)
    labels, names = (rest[0], rest[1]) if len(rest) == 2 else class_codes(rest[0], len(pixels))
    return ImageData(pixels, labels, names)


class _Source:
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
                f"options behind a *, as in ({', '.join(names)}, *, size: int = 3)"
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
        tags: Words,
        requires: Words,
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
            raise self.fault(f"option {name!r} has no default: write one behind a =")
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
