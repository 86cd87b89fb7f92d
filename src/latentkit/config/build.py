"""Build a validated configuration from a document, flags and overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from latentkit import reading
from latentkit.config.options import (
    DEFAULT_DATASET,
    DEFAULT_MODEL,
    InitOptions,
    MapOptions,
    RunOptions,
    SplitOptions,
    TrainingOptions,
    TransferOptions,
)
from latentkit.config.run_config import MapConfig, PartConfig, RunConfig
from latentkit.errors import UserError, describe_os_error, did_you_mean
from latentkit.plugin.options import Options
from latentkit.registry.catalogue import Registry
from latentkit.registry.options import validate


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML configuration without validating its content.

    Raises:
        UserError: the file cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as file:  # not reading.open_file, because it may be a pipe
            content = file.read(reading.MOST_TOML + 1)
    except OSError as error:
        raise UserError(f"cannot read configuration {path}: {describe_os_error(error)}") from error
    if b"\0" in content:
        raise UserError(f"configuration {path} is not UTF-8 text, perhaps UTF-16: save it as UTF-8")
    return reading.parse_toml(content, f"configuration {path}", UserError)


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``"part.key=value"``; a value that is not TOML is a plain string.

    Raises:
        UserError: there is no ``=``, or nothing before it, or the value is nested too deeply.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"-o {text!r} is not PART.KEY=VALUE, e.g. -o model.latent_dim=3")
    try:
        # In brackets, a comment or a second line is an error, so that such a text is kept whole.
        (parsed,) = parse_value(f"[{value} ]")
    except ValueError:
        parsed = value.strip()
    if value.rstrip().endswith(","):
        parsed = value.strip()
    return key.strip(), parsed


def parse_value(text: str) -> Any:
    """Return a value that is written as TOML.

    Raises:
        ValueError: it is not TOML.
        UserError: it is nested too deeply.
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise UserError(f"{text[:20]}... is nested too deeply: write a shorter value") from error
    return value


_FLAGS = {
    "model": "--model",
    "dataset": "--dataset",
    "corruption": "--corrupt",
    "embedding": "--embed",
}


def how_to_choose(registry: Registry, name: str) -> str:
    """Return the command-line flags that choose a part called ``name``, or the empty string."""
    kinds = [part.spec.kind for part in registry.parts() if part.is_called(name)]
    return " or ".join(f"{_FLAGS[kind]} {name}" for kind in kinds if kind in _FLAGS)


def places_of(
    option: str,
    registry: Registry,
    parts: Iterable[tuple[str, str, str]],
    sections: Mapping[str, type[Options]],
) -> list[str]:
    """Return ``place.option`` for each place in a run's configuration that has this option.

    Args:
        option: name of the option.
        registry: where parts are looked up.
        parts: place, kind and name of each part of the run; names may be unknown.
        sections: place to options class, for the sections that are not parts.
    """
    fields = {place: sections[place].model_fields for place in sections}
    for place, kind, name in parts:
        for part in registry.parts(kind):
            if part.is_called(name):
                fields[place] = part.options_type().model_fields
    return [f"{place}.{option}" for place, known in fields.items() if option in known]


def choose_part(registry: Registry, kind: str, table: Mapping[str, Any]) -> PartConfig:
    """Look up a part and validate its options.

    Args:
        registry: where to look.
        kind: one of the five kinds of part.
        table: ``name`` and the options.

    Raises:
        UserError: the name or a key is unknown, or a value is invalid.
    """
    values = {key: value for key, value in table.items() if key != "name"}
    try:
        part = registry.get(kind, table["name"])
    except UserError as error:
        raise _mention_broken_plugins(error, registry) from error
    return PartConfig(registry.short_name(part), part.options(values), part)


def choose_map(registry: Registry, table: Mapping[str, Any]) -> MapConfig:
    """Look up an embedding; validate its options and those of its map.

    Raises:
        UserError: as `choose_part`.
    """
    own = {key: value for key, value in table.items() if key in MapOptions.model_fields}
    rest = {key: value for key, value in table.items() if key not in own}
    part = choose_part(registry, "embedding", rest)
    mapped = validate(MapOptions, own, f"embedding {part.name!r}")
    return MapConfig(part.name, part.options, part.part, mapped)


def _mention_broken_plugins(error: UserError, registry: Registry) -> UserError:
    """Add the broken plugins to the error, because the unknown name may belong to one of them."""
    if not registry.problems:
        return error
    broken = ", ".join(f"{p.plugin.name!r} of {p.plugin.distribution}" for p in registry.problems)
    return UserError(f"{error}; plugins left out because they are broken: {broken}")


M = TypeVar("M", bound=Options)

_SECTIONS: dict[str, type[Options]] = {"training": TrainingOptions, "split": SplitOptions}
_OPTIONAL: dict[str, type[Options]] = {"init": InitOptions, "transfer": TransferOptions}
_SINGLE_PARTS = ("model", "dataset")
_MANY_PARTS = ("corruption", "embedding")


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
    """Apply flags and overrides to a document, and validate the result.

    Args:
        document: the tables of a configuration file; may be empty.
        registry: where names are looked up.
        model: replaces the document's model. The document's options of the model are kept only if
            the name is the same.
        dataset: replaces the document's dataset in the same way.
        corruptions: in order; if there are any, they replace the document's.
        embeddings: as ``corruptions``.
        overrides: maps ``"part.key"`` or ``"key"`` to a value; applied last.

    Raises:
        UserError: a name or key is unknown, or a value has the wrong type or range.
    """
    draft = _Draft(document, registry)
    draft.choose("model", model, DEFAULT_MODEL)
    draft.choose("dataset", dataset, DEFAULT_DATASET)
    draft.choose_many("corruption", corruptions)
    draft.choose_many("embedding", embeddings)
    for key, value in (overrides or {}).items():
        draft.override(key, value)
    return draft.finish()


class _Draft:
    """A document under construction: tables of plain values, of which only the form is checked."""

    def __init__(self, document: Mapping[str, Any], registry: Registry) -> None:
        known = [*RunOptions.model_fields, *_SINGLE_PARTS, *_MANY_PARTS, *_SECTIONS, *_OPTIONAL]
        for key in document:
            if key not in known:
                raise UserError(
                    f"configuration has no key {key!r}{did_you_mean(key, known)}; "
                    f"it has {', '.join(known)}"
                )
        self.registry = registry
        self.run = {key: document[key] for key in RunOptions.model_fields if key in document}
        there = [*_SECTIONS, *(key for key in _OPTIONAL if key in document)]
        self.sections = {key: _table(document.get(key, {}), key) for key in there}
        self.single = {key: _table(document.get(key, {}), key) for key in _SINGLE_PARTS}
        self.many = {key: _tables(document.get(key, []), key) for key in _MANY_PARTS}

    def choose(self, kind: str, name: str | None, default: str) -> None:
        table = self.single[kind]
        if name is not None and name != table.get("name"):
            self.single[kind] = {"name": name}
        elif "name" not in table:
            self.single[kind] = {"name": self.registry.default_name(kind, default), **table}

    def choose_many(self, kind: str, names: Iterable[str]) -> None:
        names = list(names)
        if names:
            before = {table.get("name"): table for table in self.many[kind]}
            self.many[kind] = [before.get(name, {"name": name}) for name in names]

    def override(self, key: str, value: Any) -> None:
        part, dot, option = key.rpartition(".")
        table = self._tables_by_name().get(part) if dot else self.run
        if table is None:
            raise self._no_part(key, part)
        if not dot:
            self._check_top(option)
        if option == "name" or key in (*_SINGLE_PARTS, *_MANY_PARTS):
            raise UserError(f"-o {key}: choose parts with --model, --dataset, --embed, --corrupt")
        table[option] = value

    def finish(self) -> RunConfig:
        single = {kind: self._part(kind, table) for kind, table in self.single.items()}
        corruptions = tuple(self._part("corruption", table) for table in self.many["corruption"])
        maps = tuple(choose_map(self.registry, table) for table in self.many["embedding"])
        for label in (part.label for part in maps):
            if sum(other.label == label for other in maps) > 1:
                raise UserError(f"embedding {label!r} is asked for twice: leave one out")
        init = self._optional("init", InitOptions)
        transfer = self._optional("transfer", TransferOptions)
        training = validate(TrainingOptions, self.sections["training"], "training")
        _check_start(init, transfer, training)
        _check_epochs(single["model"], transfer, training)
        return RunConfig(
            run=validate(RunOptions, self.run, "configuration"),
            model=single["model"],
            dataset=single["dataset"],
            corruptions=corruptions,
            embeddings=maps,
            training=training,
            split=validate(SplitOptions, self.sections["split"], "split"),
            init=init,
            transfer=transfer,
        )

    def _optional(self, key: str, options: type[M]) -> M | None:
        return validate(options, self.sections[key], key) if key in self.sections else None

    def _part(self, kind: str, table: Mapping[str, Any]) -> PartConfig:
        return choose_part(self.registry, kind, table)

    def _no_part(self, key: str, name: str) -> UserError:
        known = list(self._tables_by_name())
        flags = how_to_choose(self.registry, name)
        way = f" (choose it with {flags})" if flags else did_you_mean(name, known)
        return UserError(f"-o {key}: this run has no part {name!r}{way}; it has {', '.join(known)}")

    def _check_top(self, option: str) -> None:
        """Refuse a top-level key that is an option of a part, and suggest ``part.option``."""
        if option in RunOptions.model_fields:
            return
        parts = [(kind, kind, table["name"]) for kind, table in self.single.items()]
        parts += [(t["name"], kind, t["name"]) for kind, many in self.many.items() for t in many]
        known = {key: (_SECTIONS | _OPTIONAL)[key] for key in self.sections}
        if places := places_of(option, self.registry, parts, known):
            raise UserError(
                f"configuration has no option {option!r} (did you mean "
                f"{' or '.join(map(repr, places))}?); it has {', '.join(RunOptions.model_fields)}"
            )

    def _tables_by_name(self) -> dict[str, dict[str, Any]]:
        named = {table["name"]: table for tables in self.many.values() for table in tables}
        named |= {self.single[kind]["name"]: self.single[kind] for kind in _SINGLE_PARTS}
        fixed = {**self.single, **self.sections}
        # Sections win: a plugin's part called "training" must not hide the section "training".
        return {**fixed, **named, **fixed}


def _check_start(
    init: InitOptions | None, transfer: TransferOptions | None, training: TrainingOptions
) -> None:
    """Refuse a transfer that trains nothing, lacks an encoder, or would not use the one it has."""
    if transfer is None:
        return
    if training.epochs == 0:
        raise UserError("a transfer trains a classifier: set training.epochs to 1 or more")
    if transfer.mode == "scratch" and init is not None:
        raise UserError("mode scratch starts from random weights: leave out --init-from")
    if transfer.mode != "scratch" and init is None:
        raise UserError(
            f"mode {transfer.mode} needs an encoder: give a RUN or --init-from, or use "
            f"--mode scratch"
        )


def _check_epochs(
    model: PartConfig, transfer: TransferOptions | None, training: TrainingOptions
) -> None:
    """Refuse to train a model without a loss; a transfer trains a head on it."""
    frozen = "frozen" in model.part.spec.tags and transfer is None
    if frozen and training.epochs not in ("auto", 0):
        raise UserError(f"model {model.name!r} has no loss, so it is not trained: use --epochs 0")


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
