"""What a run is asked to do: TOML and overrides in, a validated `RunConfig` out.

The file has a table for each part, which holds its name and its options side by side::

    seed = 0

    [model]
    name = "conv-ae"
    latent_dim = 3

    [dataset]
    name = "fashion-mnist"

    [[embedding]]
    name = "isomap"
    n_neighbors = 10

    [training]
    epochs = 10

Nothing here imports torch: a mistake is told before anything slow begins.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, field_validator

from latentkit.errors import UserError, describe_os_error, did_you_mean
from latentkit.plugin.options import Options, SearchRange
from latentkit.registry.catalogue import Part, Registry
from latentkit.registry.targets import validate

DEFAULT_MODEL = "conv-ae"
DEFAULT_DATASET = "digits"

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "mps")


class RunOptions(Options):
    """What belongs to the run as a whole: the top of the file."""

    seed: int = Field(0, ge=0, lt=2**31, description="Everything random follows from it.")
    device: Device = Field("auto", description="Where to compute; auto takes CUDA, MPS, CPU.")
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 for all that may be used.")


class SplitOptions(Options):
    """How validation images are taken out of the training set."""

    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of the training set, stratified by label."
    )


class TrainingOptions(Options):
    """How a model is trained."""

    epochs: int | Literal["auto"] = Field(
        "auto",
        description="Passes over the training images; auto makes 10, up to 50 for small sets.",
    )
    batch_size: int | Literal["auto"] = Field(
        "auto", description="Images a step; auto makes 256, down to 32 for small sets."
    )
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="Optimiser.")
    learning_rate: Annotated[float, SearchRange(5e-4, 1e-2, log=True)] = Field(
        8e-3, gt=0, description="Peak learning rate."
    )
    beta2: float = Field(0.99, gt=0, lt=1, description="Decay of Adam's mean of squared gradients.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay (adamw only).")
    schedule: Literal["constant", "cosine", "one-cycle"] = Field(
        "one-cycle", description="How the learning rate moves over all steps."
    )
    clip_norm: float = Field(
        0.0, ge=0, description="Greatest norm of the gradient; 0 does not clip."
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the average of weights that is used; 0 averages none.",
    )
    patience: int = Field(
        0, ge=0, description="Epochs without a better one after which training stops; 0: never."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Weights of the epoch of least validation loss, or of the last."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of training; evaluation is always float32."
    )

    @field_validator("epochs", "batch_size")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("should be 1 or more, or 'auto'")
        return value


class MapOptions(Options):
    """What the core lets be said of every map, beside the options of its embedding."""

    on: Literal["test", "train", "validation", "all"] | Annotated[int, Field(ge=2)] = Field(
        "test", description="Which latents are mapped; a number draws so many of all."
    )
    align_to: str = Field(
        "", description="Map that this one is laid over: RUN, RUN#MAP, or #MAP of the same run."
    )


_SECTIONS: dict[str, type[Options]] = {"training": TrainingOptions, "split": SplitOptions}
_SINGLE_PARTS = ("model", "dataset")
_MANY_PARTS = ("corruption", "embedding")


@dataclass(frozen=True)
class PartConfig:
    """A part that was chosen, with validated options.

    Args:
        name: what finds it in the registry again, unambiguous at the time of writing.
        options: an instance of the part's own options class.
    """

    name: str
    options: Options

    @property
    def slug(self) -> str:
        """The name as it stands in file names."""
        return self.name.replace(":", ".")

    def as_dict(self) -> dict[str, Any]:
        """Return name and options as one TOML table."""
        return {"name": self.name, **self.options.model_dump(mode="json", exclude_none=True)}


@dataclass(frozen=True)
class MapConfig(PartConfig):
    """An embedding that was chosen, and what it shall map.

    Args:
        map: which latents, and over what they are laid.
    """

    map: MapOptions

    @property
    def label(self) -> str:
        """The name of the map: the embedding's, and which latents where not those of the test."""
        return self.name if self.map.on == "test" else f"{self.name}-{self.map.on}"

    @property
    def slug(self) -> str:
        """The label as it stands in file names."""
        return self.label.replace(":", ".")

    def as_dict(self) -> dict[str, Any]:
        """Return name, options and what is mapped as one TOML table."""
        said = self.map.model_dump(mode="json", exclude_defaults=True)
        return {**super().as_dict(), **said}


@dataclass(frozen=True)
class RunConfig:
    """A run, validated: every name exists, every option has its type and range."""

    run: RunOptions
    model: PartConfig
    dataset: PartConfig
    corruptions: tuple[PartConfig, ...]
    embeddings: tuple[MapConfig, ...]
    training: TrainingOptions
    split: SplitOptions

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as the TOML document it came from, defaults filled in."""
        document: dict[str, Any] = {
            **self.run.model_dump(mode="json"),
            "model": self.model.as_dict(),
            "dataset": self.dataset.as_dict(),
            "training": self.training.model_dump(mode="json"),
            "split": self.split.model_dump(mode="json"),
        }
        for kind, parts in (("corruption", self.corruptions), ("embedding", self.embeddings)):
            if parts:
                document[kind] = [part.as_dict() for part in parts]
        return document

    def to_toml(self) -> str:
        """Return the configuration as TOML; `parse_toml` and `build_config` read it back."""
        return tomli_w.dumps(self.as_dict())

    def identity(self) -> dict[str, Any]:
        """Return what makes the trained model: the document without its embeddings."""
        document = self.as_dict()
        document.pop("embedding", None)
        return document

    def identity_sha256(self) -> str:
        """Return the SHA-256 of the canonical form of `identity`."""
        return canonical_sha256(self.identity())

    def trajectory_sha256(self) -> str:
        """Return the SHA-256 of what decides each training step but how many there will be.

        A checkpoint of one number of epochs serves a run that is extended to more.
        """
        document = self.identity()
        document["training"] = {k: v for k, v in document["training"].items() if k != "epochs"}
        return canonical_sha256(document)


def canonical_sha256(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document, whatever the order of its keys."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML configuration, not yet validated.

    Raises:
        UserError: the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read configuration {path}: {describe_os_error(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"configuration {path} is not valid TOML: {error}") from error


def build_config(
    document: Mapping[str, Any],
    registry: Registry,
    *,
    model: str | None = None,
    dataset: str | None = None,
    corruptions: Iterable[str] = (),
    embeddings: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Lay flags and overrides over a document, and validate all of it.

    Args:
        document: the tables of a configuration file; may be empty.
        registry: where names are looked up.
        model: takes the document's place; so does ``dataset``. Options of the document stay
            only where the name stays.
        dataset: see ``model``.
        corruptions: in order; where any is given, they replace the document's.
        embeddings: as ``corruptions``.
        overrides: ``"part.key"`` or ``"key"`` to a value, applied last.

    Raises:
        UserError: an unknown name or key, or a value of the wrong type or range.
    """
    draft = _Draft(document, registry)
    draft.choose("model", model, DEFAULT_MODEL)
    draft.choose("dataset", dataset, DEFAULT_DATASET)
    draft.choose_many("corruption", corruptions)
    draft.choose_many("embedding", embeddings)
    for key, value in (overrides or {}).items():
        draft.override(key, value)
    return draft.finish()


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``"part.key=value"``; the value is read as TOML, or else as a plain string.

    Raises:
        UserError: there is no ``=`` or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"-o {text!r} is not PART.KEY=VALUE, e.g. -o model.latent_dim=3")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return key.strip(), parsed


class _Draft:
    """A document under construction: tables of plain values, checked for form only."""

    def __init__(self, document: Mapping[str, Any], registry: Registry) -> None:
        known = [*RunOptions.model_fields, *_SINGLE_PARTS, *_MANY_PARTS, *_SECTIONS]
        for key in document:
            if key not in known:
                raise UserError(
                    f"configuration has no key {key!r}{did_you_mean(key, known)}; "
                    f"it has {', '.join(known)}"
                )
        self.registry = registry
        self.run = {key: document[key] for key in RunOptions.model_fields if key in document}
        self.sections = {key: _table(document.get(key, {}), key) for key in _SECTIONS}
        self.single = {key: _table(document.get(key, {}), key) for key in _SINGLE_PARTS}
        self.many = {key: _tables(document.get(key, []), key) for key in _MANY_PARTS}

    def choose(self, kind: str, name: str | None, default: str) -> None:
        table = self.single[kind]
        if name is not None and name != table.get("name"):
            self.single[kind] = {"name": name}
        elif "name" not in table:
            self.single[kind] = {"name": default, **table}

    def choose_many(self, kind: str, names: Iterable[str]) -> None:
        names = list(names)
        if names:
            before = {table.get("name"): table for table in self.many[kind]}
            self.many[kind] = [before.get(name, {"name": name}) for name in names]

    def override(self, key: str, value: Any) -> None:
        part, dot, option = key.rpartition(".")
        table = self._tables_by_name().get(part) if dot else self.run
        if table is None:
            known = list(self._tables_by_name())
            raise UserError(
                f"-o {key}: this run has no part {part!r}{did_you_mean(part, known)}; "
                f"it has {', '.join(known)}"
            )
        if option == "name" or key in (*_SINGLE_PARTS, *_MANY_PARTS):
            raise UserError(f"-o {key}: choose parts with --model, --dataset, --embed, --corrupt")
        table[option] = value

    def finish(self) -> RunConfig:
        single = {kind: self._part(kind, table) for kind, table in self.single.items()}
        corruptions = tuple(self._part("corruption", table) for table in self.many["corruption"])
        maps = tuple(choose_map(self.registry, table) for table in self.many["embedding"])
        for label in (part.label for part in maps):
            if sum(other.label == label for other in maps) > 1:
                raise UserError(f"embedding {label!r} is asked for twice")
        return RunConfig(
            run=validate(RunOptions, self.run, "configuration"),
            model=single["model"],
            dataset=single["dataset"],
            corruptions=corruptions,
            embeddings=maps,
            training=validate(TrainingOptions, self.sections["training"], "training"),
            split=validate(SplitOptions, self.sections["split"], "split"),
        )

    def _part(self, kind: str, table: Mapping[str, Any]) -> PartConfig:
        return choose_part(self.registry, kind, table)

    def _tables_by_name(self) -> dict[str, dict[str, Any]]:
        named = {table["name"]: table for tables in self.many.values() for table in tables}
        named |= {self.single[kind]["name"]: self.single[kind] for kind in _SINGLE_PARTS}
        fixed = {**self.single, **self.sections}
        # A part that a plugin calls "training" does not take the section's place.
        return {**fixed, **named, **fixed}


def choose_part(registry: Registry, kind: str, table: Mapping[str, Any]) -> PartConfig:
    """Look up a part and validate its options.

    Args:
        registry: where to look.
        kind: one of the five kinds.
        table: ``name`` and the options beside it.

    Raises:
        UserError: an unknown name, key or value.
    """
    values = {key: value for key, value in table.items() if key != "name"}
    try:
        part = registry.get(kind, table["name"])
    except UserError as error:
        raise _mention_broken_plugins(error, registry) from error
    return PartConfig(registry.short_name(part), part.options(values))


def choose_map(registry: Registry, table: Mapping[str, Any]) -> MapConfig:
    """Look up an embedding, and validate its options and what it shall map.

    Raises:
        UserError: as `choose_part`.
    """
    own = {key: value for key, value in table.items() if key in MapOptions.model_fields}
    rest = {key: value for key, value in table.items() if key not in own}
    part = choose_part(registry, "embedding", rest)
    return MapConfig(part.name, part.options, validate(MapOptions, own, f"embedding {part.name!r}"))


def find_part(registry: Registry, kind: str, config: PartConfig) -> Part:
    """Return the registry's entry for a part that was chosen."""
    return registry.get(kind, config.name)


def _mention_broken_plugins(error: UserError, registry: Registry) -> UserError:
    """An unknown name may belong to a plugin that was left out."""
    if not registry.problems:
        return error
    broken = ", ".join(f"{p.plugin.name!r} of {p.plugin.distribution}" for p in registry.problems)
    return UserError(f"{error}; plugins left out because they are broken: {broken}")


def _table(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"configuration: {key} must be a table, written as [{key}]")
    if not isinstance(value.get("name", ""), str):
        raise UserError(f"configuration: [{key}] name must be a string")
    return dict(value)


def _tables(value: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise UserError(f"configuration: {key} must be a list of tables, written as [[{key}]]")
    tables = [_table(item, key) for item in value]
    for table in tables:
        if "name" not in table:
            raise UserError(f"configuration: a [[{key}]] table has no name")
    return tables
