"""``run.json``: what a run is, which stages are finished, and the hash of each of its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentkit.errors import IntegrityError, UserError, describe_os_error
from latentkit.hashed_json import without_hash, write_hashed
from latentkit.reading import (
    MOST_JSON,
    check_relative,
    inside,
    open_file,
    parse_json,
    read_at_most,
)

SCHEMA = 1
NAME = "run.json"

Status = Literal["running", "finished", "interrupted", "failed", "pruned"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Artefact(_Record):
    """A committed file: relative POSIX path, size in bytes, SHA-256, and the stage that made it."""

    path: str
    size: int
    sha256: str
    stage: str


class StageRecord(_Record):
    """A committed stage.

    ``inputs`` holds the SHA-256 of each artefact that the stage read, ``settings`` that of the
    options that it used. If one of these hashes has changed since, the stage is out of date.
    """

    inputs: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    settings: str = ""


class LeftOut(_Record):
    """An optional part of a run that could not be made.

    ``part`` is the user's name for it, such as ``map isomap``; ``why`` is the reason in one line;
    ``again`` are the words of the command that makes it, without the run; none if it would fail
    until something else is changed.
    """

    part: str
    why: str
    again: tuple[str, ...] = ()


class Manifest(_Record):
    """The content of ``run.json``.

    ``config`` is the resolved configuration without its embeddings, because embeddings may be added
    later. ``config_sha256`` is its hash, and ``config_file_sha256`` that of the whole file
    ``config.toml``; empty in runs of early versions. ``plugins`` maps each distribution to its
    version, ``plugin_files`` maps each absolute path to its SHA-256. ``left_out`` maps the stage of
    each optional part that could not be made to the reason. ``earlier_epochs`` lists the numbers of
    epochs that training had before it was extended. ``processes`` lists by how many processes the
    run was trained, in order; empty in runs of early versions, which had one. Times are in UTC.
    """

    model_config = ConfigDict(extra="ignore", frozen=False, allow_inf_nan=False)

    latentkit_run: int = SCHEMA
    id: str
    status: Status
    created: str
    config: dict[str, Any]
    config_sha256: str
    config_file_sha256: str = ""
    seed: int
    data_dir: str
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    plugin_files: dict[str, str] = Field(default_factory=dict)
    writer: dict[str, Any] = Field(default_factory=dict)
    error: str = ""
    stages: dict[str, StageRecord] = Field(default_factory=dict)
    left_out: dict[str, LeftOut] = Field(default_factory=dict)
    earlier_epochs: list[int] = Field(default_factory=list)
    processes: list[int] = Field(default_factory=list)
    artefacts: dict[str, Artefact] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the manifest, with a hash of itself, to ``folder`` atomically.

        Raises:
            StorageError: the folder cannot be written, or was deleted.
        """
        write_hashed(folder / NAME, self.model_dump(mode="json"))


_EPOCHS = "epochs="


def training_settings(epochs: int | str) -> str:
    """Return the settings of a stage that trains for so many epochs."""
    return f"{_EPOCHS}{epochs}"


def as_trained(config: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Return a run's configuration with the epochs that its weights were trained for.

    They are fewer than the configuration asks for if training was extended, and stopped before it
    ended: until then, the run has the weights and results of the shorter training.
    """
    record, training = manifest.stages.get("train"), config.get("training")
    epochs = record.settings.removeprefix(_EPOCHS) if record else ""
    if not (isinstance(training, Mapping) and epochs.isdecimal()):
        return dict(config)
    return {**config, "training": {**training, "epochs": int(epochs)}}


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``run.json``.

    Raises:
        UserError: ``folder`` is not a run.
        IntegrityError: the file is not a manifest, or has a later schema.
    """
    return read_with_stamp(folder)[0]


Stamp = tuple[int, int, int]
"""Time of modification in ns, inode and size of a file, which change when it is replaced."""


def stamp_of(found: os.stat_result) -> Stamp:
    """Return what identifies the version of a file."""
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_with_stamp(folder: Path) -> tuple[Manifest, Stamp]:
    """Return the manifest and the version of its file; raises as `read_manifest`."""
    path = folder / NAME
    try:
        with open_file(inside(folder, NAME), follow=False) as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            document = parse_json(read_at_most(file, path, MOST_JSON), path)
    except FileNotFoundError:
        raise UserError(f"{folder} is not a run: it has no {NAME}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {describe_os_error(error)}") from error
    manifest = _checked(document, path)
    manifest.id = folder.absolute().name  # a run that was copied or renamed has its new name
    return manifest, stamp


def _checked(document: Any, path: Path) -> Manifest:
    """Return a manifest from its document.

    Raises:
        IntegrityError: the document is damaged, or has a later schema.
    """
    schema = document.get("latentkit_run") if isinstance(document, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise IntegrityError(
            f"{path} was written by a later latentkit (schema {schema}): upgrade to read it"
        )
    # Early versions wrote no hash, and any keys.
    document = without_hash(document, path, older=document if isinstance(document, dict) else ())
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{path} is damaged: {where}: {first['msg']}") from None
    for key, artefact in manifest.artefacts.items():
        if key != artefact.path:
            raise IntegrityError(f"{path} is damaged: artefact {key!r} has another path")
        check_relative(path.parent, key)
    return manifest
