"""The base class of every part's options, and markers for what a tuner may search.

from typing import Annotated
from pydantic import Field
from latentkit.plugin import Options, SearchRange

class MyNetOptions(Options):
    latent_dim: Annotated[int, SearchRange(2, 64, log=True)] = Field(
        16, ge=1, description="Number of latent dimensions.")
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from latentkit.errors import UserError
from latentkit.plugin.downloads import with_sha256


class Options(BaseModel):
    """Base of a part's options: immutable, unknown keys refused, defaults validated.

    Give every field a default and a description. Use ``Literal`` for choices, and ``ge``/``le``
    for ranges: ``latentkit plugins show`` and the error messages use them. Do not call a field
    ``name``, because a configuration file uses that key for the part's own name.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    added: ClassVar[frozenset[str]] = frozenset()
    """Names of options that were added after the part's first release.

    They are recorded only if they differ from their default, so that runs of earlier versions,
    which lack them, keep their identity and resume."""

    def for_images(self, image_shape: tuple[int, int, int]) -> Self:
        """Return these options with each choice that depends on the images made.

        A model whose options have ``"auto"`` as a default overrides this method. latentkit calls it
        before it builds the network and records the result, so that a run keeps its network. It
        must be idempotent, and import nothing heavy.

        Args:
            image_shape: channels, height, width.
        """
        return self

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Without this check, pydantic would accept true as the number 1.
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and not _takes_bool(field.annotation):
            raise ValueError("should not be true or false")
        return value


class BackboneOptions(Options):
    """Base of the options of models that another library builds and publishes weights for.

    A subclass says in ``backbone`` whose names these are.
    """

    added: ClassVar[frozenset[str]] = frozenset({"weights_sha256"})

    backbone: str = Field("", description="Name of the network.")
    weights: str = Field(
        "none",
        description="A .safetensors file of the network's weights, hub for those that its library"
        " publishes (downloaded once), or none for random ones.",
    )
    weights_sha256: str = Field(
        "", description="SHA-256 of the file in weights, filled in when the run starts."
    )
    size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Height and width in pixels to which images are resized; by default those that"
        " the network was trained with. Smaller images take less time.",
    )

    def for_images(self, image_shape: tuple[int, int, int]) -> Self:
        """Return these options with the absolute path and the SHA-256 of a file of weights.

        Raises:
            UserError: a SHA-256 is given, but no file.
            DataError: the file cannot be read.
            IntegrityError: a run that exists already does not say which SHA-256 it has.
        """
        if self.weights in ("hub", "none"):
            if self.weights_sha256:
                raise UserError(
                    f"weights_sha256 is for a file of weights only, and weights is {self.weights}: "
                    f"leave it out"
                )
            return self
        path, sha256 = with_sha256(self.weights, self.weights_sha256)
        return self.model_copy(update={"weights": path, "weights_sha256": sha256})


def _takes_bool(annotation: Any) -> bool:
    if annotation in (bool, Any, object) or isinstance(annotation, bool):
        return True
    return any(map(_takes_bool, get_args(annotation)))


class NoOptions(Options):
    """The options of a part that has no options."""


@dataclass(frozen=True)
class SearchRange:
    """A range in which a tuner searches for a number, both ends included.

    Args:
        low: the smallest value.
        high: the largest value.
        log: search on a logarithmic scale; ``low`` must then be positive.
        step: distance between neighbouring values; None for a continuous range. Cannot be combined
            with ``log``.

    Raises:
        ValueError: the range is empty, or its fields contradict each other.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"search range {self.low}..{self.high} is empty")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic search range needs low > 0 and takes no step")


@dataclass(frozen=True)
class SearchChoice:
    """The values from which a tuner chooses.

    Args:
        values: at least two; strings, numbers or booleans.

    Raises:
        ValueError: there are fewer than two values.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if len(self.values) < 2:
            raise ValueError("a search over fewer than two values is pointless: give two or more")


SearchDomain = SearchRange | SearchChoice


def search_domains(options: type[BaseModel]) -> Iterator[tuple[str, SearchDomain, FieldInfo]]:
    """Yield name, domain and field of each option that is marked for search.

    A ``Literal`` field marked with `search_all` gives a `SearchChoice` of all its values.
    """
    for name, field in options.model_fields.items():
        for marker in field.metadata:
            if isinstance(marker, SearchRange | SearchChoice):
                yield name, marker, field
            elif marker is search_all and get_origin(field.annotation) is Literal:
                yield name, SearchChoice(get_args(field.annotation)), field


def search_all() -> None:
    """Mark an option whose every choice is searched: ``Annotated[Literal[...], search_all]``.

    This function is only a marker; it is never called.
    """


def strength() -> None:
    """Mark the option that sets how strong a corruption is: ``Annotated[float, strength]``.

    At 0 the corruption does not change images; larger values are stronger. This function is only a
    marker; it is never called.
    """


def strength_option(options: type[BaseModel]) -> tuple[str, float] | None:
    """Return the option marked with `strength` and its largest allowed value, or None."""
    for name, field in options.model_fields.items():
        if strength in field.metadata:
            return name, min([math.inf, *(m.le for m in field.metadata if hasattr(m, "le"))])
    return None


def option_text(value: object, digits: int = 4) -> str:
    """Return an option's value as a user types it, floats with ``digits`` significant digits."""
    if isinstance(value, tuple | list):
        return "[" + ",".join(option_text(item, digits) for item in value) + "]"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
