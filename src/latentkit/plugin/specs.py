"""Specs: flat, frozen records that describe the parts of a plugin and import nothing heavy."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One part that a plugin offers.

    Args:
        name: lower case, digits and single hyphens; what a user types.
        summary: one line that says what the part does.
        target: ``"package.module:attribute"``, imported when the part is first used. The attribute
            may be one of another, as in ``"package.module:Class.method"``.
        options: ``"package.module:Class"``, a subclass of `latentkit.plugin.Options`; None if the
            part has no options.
        tags: properties that latentkit needs to know; the subclasses list them.
        requires: pip requirements (PEP 508) that must be installed before the part is used.

    Raises:
        ValueError: a field does not have the form described above.
    """

    kind: ClassVar[str] = ""

    name: str
    summary: str
    target: str
    options: str | None = None
    tags: frozenset[str] = frozenset()
    requires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} is not lower case words joined by hyphens")
        if not isinstance(self.summary, str) or not self.summary.strip() or "\n" in self.summary:
            raise ValueError(f"{self.name}: summary must be one line of text")
        for field in ("target", "options", "plan"):
            value = getattr(self, field, None)
            if value is None and field != "target":
                continue
            if not isinstance(value, str) or not _TARGET.fullmatch(value):
                raise ValueError(f"{self.name}: {field} {value!r} is not 'package.module:name'")
        # A bare string would be split into its letters.
        for field, make in (("tags", frozenset), ("requires", tuple)):
            value = getattr(self, field)
            if isinstance(value, str) or not all(isinstance(item, str) for item in value):
                raise ValueError(f"{self.name}: {field} must be a collection of strings")
            object.__setattr__(self, field, make(value))


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A model. Target: ``build(options, image_shape) -> nn.Module``, see `protocols.Autoencoder`.

    Tags: ``"generative"`` if the module also has ``posterior`` and ``sample``. ``"encoder"`` if it
    has no ``decode``; what needs a decoder is then left out. ``"frozen"`` if it has no ``loss``, so
    that it cannot be trained. ``"vectors"`` if it also takes vectors, as images of 1 x 1 x D with D
    from 1 up; values of data that it was not trained on may be outside [0, 1].

    Args:
        learning_rate: default peak learning rate, for AdamW with batches of 256; smaller batches
            get a lower rate.
    """

    kind: ClassVar[str] = "model"

    learning_rate: float = 8e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.learning_rate, int | float) and 0 < self.learning_rate < math.inf):
            raise ValueError(f"{self.name}: learning_rate must be a positive number")
        if {"generative", "encoder"} <= self.tags:
            raise ValueError(
                f"{self.name}: it is tagged both 'generative', which needs a decoder, and "
                f"'encoder', which has none"
            )


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A data set. Target: ``load(options, split, cache) -> ImageData``.

    Tags: ``"bundled"`` if it needs no download; ``"download"`` if it downloads files on first use;
    ``"local"`` if it reads the user's files.

    Args:
        files: paths below ``cache`` of the downloaded files, which may be patterns with ``*``;
            empty if not known. ``latentkit data list`` uses them to check whether the files are
            present.
        megabytes: size of the download; 0 if not known.
        plan: ``"package.module:attribute"`` of ``plan(options) -> FilePlan``, which says which
            image files ``load`` reads, without reading them; None if it reads none, or if they are
            not known. ``latentkit data check`` then checks each file.
    """

    kind: ClassVar[str] = "dataset"

    files: tuple[str, ...] = ()
    megabytes: int = 0
    plan: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        files: object = self.files  # not trusted: a bare string would be split into its letters
        if not isinstance(files, list | tuple) or not all(map(_lies_below, files)):
            raise ValueError(f"{self.name}: files must be paths below the folder of data sets")
        object.__setattr__(self, "files", tuple(files))
        if not (isinstance(self.megabytes, int) and self.megabytes >= 0):
            raise ValueError(f"{self.name}: megabytes must be a whole number from 0 up")


def _lies_below(path: object) -> bool:
    """Return whether a path or pattern is relative and does not leave its folder."""
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    return parts != () and parts[0] != "/" and ".." not in parts


class CorruptionSpec(Spec):
    """A corruption. Target: ``build(options) -> f(images, generator) -> images``."""

    kind = "corruption"


class EmbeddingSpec(Spec):
    """An embedding. Target: ``build(options, random_state) -> estimator``.

    Tags: ``"transductive"`` if there is no ``transform`` for new points; ``"inverse"`` if there is
    an ``inverse_transform``; ``"linear"`` if the map is linear.
    """

    kind = "embedding"


class TunerSpec(Spec):
    """A tuner. Target: ``build(options) -> Tuner``, see `studies.Tuner`."""

    kind = "tuner"


SPEC_TYPES: dict[str, type[Spec]] = {
    spec.kind: spec for spec in (ModelSpec, DatasetSpec, CorruptionSpec, EmbeddingSpec, TunerSpec)
}
"""Kind of part to its spec class, for all five kinds."""
