"""Decorators that make a part of one function or class, for experiments in a single file.

This is a whole plugin, which ``--plugin shade.py`` loads::

    from latentkit.plugin import corruption

    @corruption
    def shade(images, generator, *, share: float = 0.25):
        \"\"\"Blacken the lower part of every image.\"\"\"
        rows = round(share * images.shape[2])
        hidden = images.clone()
        hidden[:, :, images.shape[2] - rows :] = 0
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
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from latentkit.plugin.decorated_parts import Decorated
from latentkit.plugin.options import Options
from latentkit.plugin.specs import CorruptionSpec, DatasetSpec, EmbeddingSpec, ModelSpec, Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentkit.plugin.images import ImageData

F = TypeVar("F", bound=Callable[..., Any])


@overload
def corruption(function: F, /) -> F: ...


@overload
def corruption(
    *, name: str = "", tags: Collection[str] = (), requires: Collection[str] = ()
) -> Callable[[F], F]: ...


def corruption(
    function: F | None = None,
    /,
    *,
    name: str = "",
    tags: Collection[str] = (),
    requires: Collection[str] = (),
) -> F | Callable[[F], F]:
    """Make a corruption of ``f(images, generator, *, options) -> images``.

    `Corruption` says what the function must do. Mark the option that sets how strong it is with
    `strength`.

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
        source = Decorated("corruption", thing)
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
    *,
    name: str = "",
    tags: Collection[str] = (),
    requires: Collection[str] = (),
    learning_rate: float = ...,
) -> Callable[[F], F]: ...


def model(
    function: F | None = None,
    /,
    *,
    name: str = "",
    tags: Collection[str] = (),
    requires: Collection[str] = (),
    learning_rate: float = ModelSpec.learning_rate,
) -> F | Callable[[F], F]:
    """Make a model of ``f(image_shape, *, options) -> nn.Module``, or of a module's class.

    `Autoencoder` says what the module must have. A class takes ``image_shape`` and the options in
    its ``__init__``.

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
        source = Decorated("model", thing, classes=True)
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
def embedding(
    *, name: str = "", tags: Collection[str] = (), requires: Collection[str] = ()
) -> Callable[[F], F]: ...


def embedding(
    function: F | None = None,
    /,
    *,
    name: str = "",
    tags: Collection[str] = (),
    requires: Collection[str] = (),
) -> F | Callable[[F], F]:
    """Make an embedding of ``f(vectors, random_state, *, options) -> coordinates``, or of a class.

    Vectors are float32 (N, D) and finite, coordinates (N, 2) or (N, 3). A function cannot place new
    points, so its part is tagged ``"transductive"``. A class takes ``random_state`` and the options
    in its ``__init__``, and has ``fit_transform``; `Embedding` says what else it may have.

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
        source = Decorated("embedding", thing, classes=True)
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
def dataset(
    *, name: str = "", tags: Collection[str] = (), requires: Collection[str] = ()
) -> Callable[[F], F]: ...


def dataset(
    function: F | None = None,
    /,
    *,
    name: str = "",
    tags: Collection[str] = (),
    requires: Collection[str] = (),
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
        source = Decorated("dataset", thing)
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
