"""The run's folder: open it to read, lock it to write, commit artefacts, verify each load."""

from __future__ import annotations

import json
import os
import platform
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from latentkit.errors import IntegrityError, LockedError, StorageError, UserError
from latentkit.runs.commit import (
    TEMPORARY_PREFIX,
    sha256_of,
    storage_error,
    write_atomically,
    write_bytes,
    write_json,
)
from latentkit.runs.manifest import Artefact, Manifest, StageRecord, Status, read_manifest

CONFIG = "config.toml"
EVENTS = "events.jsonl"
LOCK = ".lock"
_NAME_TRIES = 100
_LOOK = 0.02
"""Seconds for which a reader tries to take the lock, because other readers may hold it briefly."""
_LONGER_THAN_LOOKS = 1.0
"""Seconds after which a writer concludes that another writer, not a reader, holds the lock."""


class RunFolder:
    """One run on disk.

    Readers need only the path. Writers hold the lock (`writing`) and write with `commit`, which
    records the size and SHA-256 of every file.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run; raises what `read_manifest` raises."""
        return cls(path, read_manifest(path))

    @classmethod
    def create(cls, path: Path, config_toml: str, **facts: Any) -> RunFolder:
        """Create a run in a folder, with manifest and configuration.

        Args:
            path: the folder; created if it is missing.
            config_toml: the resolved configuration.
            **facts: the remaining fields of the manifest.

        Raises:
            StorageError: the folder cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error
        manifest = Manifest(id=path.name, status="running", created=now, **facts)
        folder = cls(path, manifest)
        write_bytes(path / CONFIG, config_toml.encode())
        manifest.write(path)
        return folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run's lock; the operating system releases it when the process dies.

        Raises:
            LockedError: another process holds the lock.
            StorageError: the folder cannot be written.
        """
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=_LONGER_THAN_LOOKS, poll_interval=0.01)
        except filelock.Timeout:
            writer = read_manifest(self.path).writer
            raise LockedError(
                f"run {self.manifest.id} is being written by process {writer.get('pid', '?')} on "
                f"{writer.get('host', '?')}: wait for it, or stop it"
            ) from None
        except OSError as error:
            raise storage_error(self.path / LOCK, error) from error
        try:
            self.manifest = read_manifest(self.path)
            self.manifest.writer = {"pid": os.getpid(), "host": platform.node()}
            self.manifest.write(self.path)
            self._sweep()
            yield
        finally:
            lock.release()

    def is_being_written(self) -> bool:
        """Return whether a process holds the run's lock now."""
        if not (self.path / LOCK).exists():
            return False
        try:
            with filelock.FileLock(self.path / LOCK).acquire(_LOOK, poll_interval=0.005):
                return False
        except filelock.Timeout:
            return True
        except OSError:
            return False

    def set_status(self, status: Status, error: str = "") -> None:
        """Set the run's status and commit the manifest."""
        self.manifest.status = status
        self.manifest.error = error
        self.manifest.write(self.path)

    def commit(self, relative: str, stage: str, write: Callable[[Path], None]) -> None:
        """Commit one file of ``stage``; `finish_stage` writes its entry to the manifest.

        If the stage was committed before, its old entry and artefacts leave the manifest as soon as
        the first new file is written.

        Args:
            relative: POSIX path below the folder.
            stage: the stage that the file belongs to.
            write: fills the temporary file whose path it receives.
        """
        path = self.path / relative

        def write_and_strike(temporary: Path) -> None:
            write(temporary)
            if stage in self.manifest.stages:
                self.forget_stage(stage)

        write_atomically(path, write_and_strike)
        self.manifest.artefacts[relative] = Artefact(
            path=relative, size=path.stat().st_size, sha256=sha256_of(path), stage=stage
        )

    def commit_json(self, relative: str, stage: str, document: Mapping[str, Any]) -> None:
        """Commit a JSON artefact."""
        self.commit(relative, stage, lambda path: write_json(path, document))

    def commit_arrays(self, relative: str, stage: str, **arrays: NDArray[Any]) -> None:
        """Commit an uncompressed .npz; the same arrays give the same bytes.

        Raises:
            TypeError: an array contains objects, which would need pickle.
        """
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise TypeError(f"array {name!r} holds objects")

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub knows a newer keyword

        self.commit(relative, stage, write)

    def finish_stage(self, stage: str, record: StageRecord) -> None:
        """Record ``stage`` as finished and commit the manifest."""
        self.manifest.stages[stage] = record
        self.manifest.write(self.path)

    def forget_stage(self, stage: str) -> None:
        """Remove a stage and its artefacts from the manifest, before it is executed again."""
        if self.manifest.stages.pop(stage, None) is not None:
            kept = {k: a for k, a in self.manifest.artefacts.items() if a.stage != stage}
            self.manifest.artefacts = kept
            self.manifest.write(self.path)

    def verified(self, relative: str) -> Path:
        """Return the path of an artefact after checking its SHA-256.

        Raises:
            IntegrityError: the artefact is not listed, missing, or not what was committed.
        """
        artefact = self.manifest.artefacts.get(relative)
        if artefact is None:
            raise IntegrityError(
                f"run {self.manifest.id} has no {relative} yet: "
                f"'latentkit resume {self.path}' finishes it"
            )
        path = self.path / relative
        try:
            intact = sha256_of(path) == artefact.sha256
        except OSError as error:
            raise IntegrityError(
                f"{path} is missing: 'latentkit resume {self.path}' makes it again"
            ) from error
        if not intact:
            raise IntegrityError(
                f"{path} is not what was committed (its SHA-256 differs): put the original back, "
                f"or delete it and 'latentkit resume {self.path}' makes it again"
            )
        return path

    def arrays(self, relative: str) -> dict[str, NDArray[Any]]:
        """Load a verified .npz; object arrays are refused."""
        path = self.verified(relative)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def json(self, relative: str) -> Any:
        """Load a verified JSON artefact."""
        return json.loads(self.verified(relative).read_text(encoding="utf-8"))

    def config_toml(self) -> str:
        """Return the text of ``config.toml``.

        Raises:
            IntegrityError: the file is missing.
        """
        try:
            return (self.path / CONFIG).read_text(encoding="utf-8")
        except OSError as error:
            raise IntegrityError(f"{self.path / CONFIG} cannot be read: {error}") from error

    def append_event(self, line: str) -> None:
        """Append one line to the event log, which is not an artefact and has no hash."""
        try:
            with (self.path / EVENTS).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise storage_error(self.path / EVENTS, error) from error

    def _sweep(self) -> None:
        """Remove temporary files that a killed writer left."""
        for leftover in self.path.rglob(f"{TEMPORARY_PREFIX}*"):
            leftover.unlink(missing_ok=True)


def new_folder(root: Path, label: str) -> Path:
    """Create ``root/<date>-<label>-<4 hex>`` and return its path.

    Raises:
        StorageError: the folder cannot be written.
    """
    stem = f"{datetime.now(UTC):%Y-%m-%d}-{label}"
    for _ in range(_NAME_TRIES):
        path = root / f"{stem}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not root.is_dir():
                raise StorageError(f"{root} is not a folder: choose another with --out") from None
        except OSError as error:
            raise storage_error(path, error) from error
        else:
            return path
    raise StorageError(f"no free name {stem}-xxxx in {root}")


def find_run(reference: str, root: Path) -> Path:
    """Return the folder of the run that a user refers to.

    Args:
        reference: a path, the id of a run in ``root``, an unambiguous start or end of an id, or
            ``last``.
        root: the folder of runs.

    Raises:
        UserError: no run matches, or more than one does.
    """
    for path in (Path(reference), root / reference):
        if (path / "run.json").is_file():
            return path
    runs = run_folders(root)
    if reference == "last" and runs:
        return max(runs, key=lambda path: read_manifest(path).created)
    found = [p for p in runs if p.name.startswith(reference) or p.name.endswith(reference)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{reference!r} is the start or end of several runs: {names}")
    if not runs:
        raise UserError(
            f"there is no run {reference!r} here, and none below {root}/ yet: 'latentkit run' "
            f"makes one"
        )
    raise UserError(
        f"there is no run {reference!r}, here or in {root}: 'latentkit runs' lists them"
    )


def run_folders(root: Path) -> list[Path]:
    """Return the folders in ``root`` that contain a run, sorted by name."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if (path / "run.json").is_file())
