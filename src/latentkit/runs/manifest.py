"""``run.json``: what a run is, which stages are finished, and the hash of each of its files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentkit.atomic import write_json
from latentkit.errors import IntegrityError, UserError, describe_os_error

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


class Manifest(_Record):
    """The content of ``run.json``.

    ``config`` is the resolved configuration without its embeddings, because embeddings may be added
    later. ``config_sha256`` is its hash. ``plugins`` maps each distribution to its version,
    ``plugin_files`` maps each absolute path to its SHA-256. Times are in UTC.
    """

    model_config = ConfigDict(extra="ignore", frozen=False, allow_inf_nan=False)

    latentkit_run: int = SCHEMA
    id: str
    status: Status
    created: str
    config: dict[str, Any]
    config_sha256: str
    seed: int
    data_dir: str
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    plugin_files: dict[str, str] = Field(default_factory=dict)
    writer: dict[str, Any] = Field(default_factory=dict)
    error: str = ""
    stages: dict[str, StageRecord] = Field(default_factory=dict)
    artefacts: dict[str, Artefact] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the manifest to ``folder`` atomically."""
        write_json(folder / NAME, self.model_dump(mode="json"))


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
        with path.open("rb") as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            document = json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} is not a run: it has no {NAME}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {describe_os_error(error)}") from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: {error}") from error
    schema = document.get("latentkit_run") if isinstance(document, Mapping) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise IntegrityError(
            f"{path} was written by a later latentkit (schema {schema}): upgrade to read it"
        )
    try:
        return Manifest.model_validate(document), stamp
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{path} is damaged: {where}: {first['msg']}") from error
