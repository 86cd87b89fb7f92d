"""A validated configuration: its data, its TOML form and its hashes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import tomli_w

from latentkit.config.options import (
    InitOptions,
    MapOptions,
    RunOptions,
    SplitOptions,
    TrainingOptions,
    TransferOptions,
)
from latentkit.hashed_json import canonical_sha256
from latentkit.plugin.options import Options
from latentkit.registry.catalogue import Part
from latentkit.registry.options import fault_of


@dataclass(frozen=True)
class PartConfig:
    """A chosen part, with validated options.

    Args:
        name: name of the part in the registry, unambiguous at the time of writing.
        options: an instance of the part's own options class.
        part: the part of the registry that `name` was resolved to.
    """

    name: str
    options: Options
    part: Part = field(repr=False, compare=False)

    def build(
        self, *arguments: Any, options: Options | None = None, doing: str = "cannot be built"
    ) -> Any:
        """Call the part's target with its options; errors of the target's code blame the part.

        Args:
            *arguments: what the target of this kind of part takes after its options.
            options: other options than those of the configuration.
            doing: what failed if the target raises, for the error message.

        Raises:
            BrokenEnvironmentError: a requirement of the part is not met.
            PluginError: the target cannot be imported, or raises.
        """
        target = self.part.target()
        with fault_of(f"{self.part.spec.kind} {self.name!r} {doing}"):
            return target(options or self.options, *arguments)

    def for_images(self, image_shape: tuple[int, int, int]) -> Self:
        """Return this part with the choices that its options make for images of a shape.

        Raises:
            PluginError: the options' `for_images` raises, or returns other options.
        """
        kind, name = self.part.spec.kind, self.name
        with fault_of(f"{kind} {name!r} cannot choose options for images {image_shape}"):
            options = self.options.for_images(image_shape)
            if type(options) is not type(self.options):
                raise TypeError(f"for_images returns {type(options).__name__}")
        return replace(self, options=options)

    def chosen(self) -> frozenset[str]:
        """Return the names of the options that `for_images` chooses unless the user does."""
        if type(self.options).for_images is Options.for_images:
            return frozenset()
        fields = type(self.options).model_fields
        return frozenset(name for name, field in fields.items() if field.default == "auto")

    def offline(self) -> AbstractContextManager[None]:
        """Refuse to download the part's files in a block; see `no_downloads`."""
        from latentkit.plugin.downloads import no_downloads  # it imports what few commands need

        return no_downloads(self.name, self.options.model_dump(exclude_defaults=True))

    @property
    def slug(self) -> str:
        """The name in the form used in file names."""
        return self.name.replace(":", ".")

    def as_dict(self) -> dict[str, Any]:
        """Return name and options as one TOML table.

        It lacks choices that are not made yet, and options that were added later and not used.
        """
        options = self.options
        fields = type(options).model_fields
        unused = {name for name in options.added if getattr(options, name) == fields[name].default}
        later = {name for name in self.chosen() if getattr(options, name) == "auto"}
        values = options.model_dump(mode="json", exclude_none=True, exclude=unused | later)
        return {"name": self.name, **values}


@dataclass(frozen=True)
class MapConfig(PartConfig):
    """A chosen embedding, and what it maps.

    Args:
        map: which latents to map, and the map to align them to.
    """

    map: MapOptions

    @property
    def reference(self) -> tuple[str, str]:
        """The run and the map that ``align_to`` names; the run is empty if it is the same run."""
        run, hash_sign, label = self.map.align_to.rpartition("#")
        return (run, label) if hash_sign else (label, self.label)

    @property
    def label(self) -> str:
        """The map's name: the embedding's name, and the latents' unless they are of ``test``."""
        return self.name if self.map.on == "test" else f"{self.name}-{self.map.on}"

    @property
    def slug(self) -> str:
        """The label in the form used in file names."""
        return self.label.replace(":", ".")

    def as_dict(self) -> dict[str, Any]:
        """Return name, options and what is mapped as one TOML table."""
        said = self.map.model_dump(mode="json", exclude_defaults=True)
        return {**super().as_dict(), **said}


@dataclass(frozen=True)
class RunConfig:
    """A validated run: every name exists, and every option has the right type and range.

    ``init`` is None if the weights start at random. ``transfer`` is None if the run trains no
    classifier.
    """

    run: RunOptions
    model: PartConfig
    dataset: PartConfig
    corruptions: tuple[PartConfig, ...]
    embeddings: tuple[MapConfig, ...]
    training: TrainingOptions
    split: SplitOptions
    init: InitOptions | None = None
    transfer: TransferOptions | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as a TOML document with all defaults filled in."""
        document: dict[str, Any] = {
            **self.run.model_dump(mode="json"),
            "model": self.model.as_dict(),
            "dataset": self.dataset.as_dict(),
            "training": self._training(),
            "split": self.split.model_dump(mode="json"),
        }
        for key, section in (("init", self.init), ("transfer", self.transfer)):
            if section is not None:
                document[key] = section.model_dump(mode="json")
        for kind, parts in (("corruption", self.corruptions), ("embedding", self.embeddings)):
            if parts:
                document[kind] = [part.as_dict() for part in parts]
        return document

    def _training(self) -> dict[str, Any]:
        # Later versions added these: without them, a document is that of an earlier version.
        unused = {
            "flip": self.training.flip is False,
            "shift": self.training.shift == "auto",
            "checkpoint_minutes": not self.training.checkpoint_minutes,
        }
        names = {name for name, is_unused in unused.items() if is_unused}
        return self.training.model_dump(mode="json", exclude=names)

    def to_toml(self) -> str:
        """Return the configuration as TOML; `build_config` accepts the parsed document."""
        return tomli_w.dumps(self.as_dict())

    def identity(self) -> dict[str, Any]:
        """Return what determines the trained model: the document without its embeddings."""
        document = self.as_dict()
        document.pop("embedding", None)
        return document

    def identity_sha256(self) -> str:
        """Return the SHA-256 of the canonical form of `identity`."""
        return canonical_sha256(self.identity())

    def trajectory_sha256(self) -> str:
        """Return the SHA-256 of what determines each training step, not the number of epochs.

        A run that is extended to more epochs can therefore continue from its checkpoint.
        """
        document = self.identity()
        document["training"] = {k: v for k, v in document["training"].items() if k != "epochs"}
        return canonical_sha256(document)
