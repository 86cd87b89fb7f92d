"""The run's folder: open it to read, lock it to write, commit artefacts, verify each load."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from latentkit import atomic, errors, reading
from latentkit.runs.lock import hold_lock, is_locked, this_process
from latentkit.runs.manifest import (
    NAME,
    Artefact,
    Manifest,
    StageRecord,
    Stamp,
    Status,
    read_manifest,
    read_with_stamp,
    stamp_of,
)
from latentkit.terminal import printable, shell_command

CONFIG = "config.toml"
EVENTS = "events.jsonl"
LOCK = ".lock"
_NAME_TRIES = 100
LEFT_OUT = "left out: "
"""Begins what stands for the hash of an optional result that could not be made."""
_PIECE = 2**20  # bytes hashed at once


class RunFolder:
    """One run on disk.

    Readers need only the path. Writers hold the lock (`creating`, `writing`) and write with
    `commit`, which records the size and SHA-256 of every file.

    The folder may come from a stranger. So no link in it is followed, no name in it leads out of
    it, and a folder that contains a link, a pipe or a device is not written to.
    """

    def __init__(self, path: Path, manifest: Manifest, stamp: Stamp | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self._stamp = stamp
        self.config_edited = False
        self._holds_lock = False
        self._read: dict[str, Any] | None = None  # what a stage has read; see `reading_once`

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run; raises what `read_manifest` raises."""
        return cls(path, *read_with_stamp(path))

    @classmethod
    @contextmanager
    def creating(cls, path: Path, config_toml: str, **facts: Any) -> Iterator[RunFolder]:
        """Create a run in a folder, with manifest and configuration, and hold its lock.

        The lock is taken first, so that a run which another process creates under the same name
        keeps its configuration.

        Args:
            path: the folder; created if it is missing.
            config_toml: the resolved configuration.
            **facts: the remaining fields of the manifest.

        Raises:
            LockedError: another process holds the lock.
            RunExistsError: the folder already contains a run.
            UserError: the folder contains other files.
            StorageError: the folder cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_new(path)
        except OSError as error:
            raise atomic.storage_error(path, error) from error
        folder = cls(
            path,
            Manifest(id=path.name, status="running", created=now, writer=this_process(), **facts),
        )
        with folder._locked():
            if os.path.lexists(path / NAME):
                raise errors.RunExistsError(
                    f"{path} already contains a run: '{shell_command('resume', path)}' finishes "
                    f"it, or choose another --name"
                )
            folder.write_config(config_toml)
            folder.manifest.write(path)
            folder._sweep()
            yield folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run's lock; the operating system releases it when the process dies.

        Raises:
            LockedError: another process holds the lock.
            IntegrityError: the folder contains links, pipes or devices.
            StorageError: the folder cannot be written.
        """
        with self._locked():
            self.manifest = read_manifest(self.path)
            self.manifest.writer = this_process()
            self.manifest.write(self.path)
            self._sweep()
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            reading.check_no_links(self.path)
            for name in (LOCK, EVENTS):
                _separate(self.path / name)
        except OSError as error:
            raise atomic.storage_error(self.path, error) from error
        with hold_lock(self.path / LOCK, f"run {self.manifest.id}"):
            self._holds_lock = True
            try:
                yield
            finally:
                self._holds_lock, self._stamp = False, None

    def is_being_written(self) -> bool:
        """Return whether a process holds the run's lock now."""
        return is_locked(self.path / LOCK)

    def refresh(self) -> bool:
        """Read the manifest again if its file has changed since it was read.

        Nothing is read while this object holds the lock, because its manifest is then the newest.

        Returns:
            Whether the manifest was read again.

        Raises:
            UserError: the run is gone, or its manifest cannot be read.
            IntegrityError: its manifest is damaged, or has a later schema.
        """
        if self._holds_lock:
            return False
        with suppress(OSError):  # `read_with_stamp` explains what is wrong
            if self._stamp == stamp_of((self.path / NAME).stat()):
                return False
        self.manifest, self._stamp = read_with_stamp(self.path)
        return True

    def status(self) -> Status | Literal["stopped"]:
        """Return the run's status on disk; ``stopped`` if it did not end but no process writes it.

        Raises:
            UserError, IntegrityError: as `refresh`.
        """
        self.refresh()
        while self.manifest.status == "running" and not self.is_being_written():
            # The writer may have ended the run after the manifest was read: only a manifest that
            # has not changed since shows that the run was left unfinished.
            if not self.refresh():
                return "stopped"
        return self.manifest.status

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
        path = reading.inside(self.path, relative)

        def write_and_strike(temporary: Path) -> None:
            write(temporary)
            if stage in self.manifest.stages:
                self.forget_stage(stage)

        atomic.write_atomically(path, write_and_strike, self.path)
        if self._read is not None:
            self._read.pop(relative, None)
        self.manifest.artefacts[relative] = Artefact(
            path=relative, size=path.stat().st_size, sha256=atomic.sha256_of(path), stage=stage
        )

    def write_config(self, text: str) -> None:
        """Write ``config.toml``; the manifest that is written next has its hash."""
        content = text.encode()
        atomic.write_bytes(self.path / CONFIG, content, self.path)
        self.manifest.config_file_sha256 = hashlib.sha256(content).hexdigest()

    def commit_json(self, relative: str, stage: str, document: Mapping[str, Any]) -> None:
        """Commit a JSON artefact."""
        self.commit(relative, stage, lambda path: atomic.write_json(path, document))

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
            if self._read is not None:
                self._read.clear()
            kept = {k: a for k, a in self.manifest.artefacts.items() if a.stage != stage}
            self.manifest.artefacts = kept
            self.manifest.write(self.path)

    def verified(self, relative: str) -> Path:
        """Return the path of an artefact after checking its SHA-256.

        Raises:
            IntegrityError: the artefact is not listed, missing, or not what was committed.
        """
        sha = hashlib.sha256()
        with self._opened(relative) as file:
            while piece := file.read(_PIECE):
                sha.update(piece)
        self._check(relative, sha.hexdigest())
        return self.path / relative

    def read(self, relative: str) -> bytes:
        """Return the content of an artefact after checking its SHA-256; raises as `verified`."""
        with self._opened(relative) as file:
            content = file.read()
        self._check(relative, hashlib.sha256(content).hexdigest())
        return content

    def outdated_by(self, relative: str) -> str:
        """Return the artefact whose change made another one outdated; empty if it is current.

        A run that is stopped while its training is repeated for more epochs, for example, still has
        the latents and the card of the earlier weights.
        """
        manifest = self.manifest
        artefact = manifest.artefacts.get(relative)
        record = manifest.stages.get(artefact.stage) if artefact else None
        for path, sha256 in record.inputs.items() if record else ():
            now = manifest.artefacts.get(path)
            if now is None and sha256.startswith(LEFT_OUT):
                continue
            if now is None or now.sha256 != sha256:
                return path
            if found := self.outdated_by(path):
                return found
        return ""

    @contextmanager
    def _opened(self, relative: str) -> Iterator[BinaryIO]:
        if relative not in self.manifest.artefacts:
            raise errors.IntegrityError(
                f"run {self.manifest.id} has no {relative} yet: {self._resume} finishes it"
            )
        if other := self.outdated_by(relative):
            raise errors.IntegrityError(
                f"{self.path / relative} was made from another {other}, because the run stopped "
                f"before it was made again: {self._resume} finishes it"
            )
        path = reading.inside(self.path, relative)
        try:
            with reading.open_file(path, follow=False) as file:
                size = os.fstat(file.fileno()).st_size
                if size != self.manifest.artefacts[relative].size:
                    raise self._differs(relative, f"it has {size:,} bytes")
                yield file
        except FileNotFoundError as error:
            raise errors.IntegrityError(
                f"{path} is missing: {self._resume} makes it again"
            ) from error
        except OSError as error:
            raise errors.IntegrityError(
                f"{path} cannot be read: {errors.describe_os_error(error)}"
            ) from error

    def _check(self, relative: str, sha256: str) -> None:
        if sha256 != self.manifest.artefacts[relative].sha256:
            raise self._differs(relative, "its SHA-256 differs")

    def _differs(self, relative: str, how: str) -> errors.IntegrityError:
        return errors.IntegrityError(
            f"{self.path / relative} is not what was committed ({how}): put the original back, or "
            f"delete it and {self._resume} makes it again"
        )

    @property
    def _resume(self) -> str:
        return f"'{shell_command('resume', self.path)}'"

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        """Read and hash each artefact at most once in the block, which is one stage.

        Arrays that are read again in the block are the same objects: they must not be changed.
        """
        self._read = {}
        try:
            yield
        finally:
            self._read = None

    def arrays(self, relative: str) -> dict[str, NDArray[Any]]:
        """Load a verified .npz; object arrays are refused."""
        return dict(self._loaded(relative, reading.parse_arrays))

    def json(self, relative: str) -> Any:
        """Load a verified JSON artefact."""
        content = self._loaded(relative, lambda content, path: content)
        return reading.parse_json(content, self.path / relative)

    def _loaded(self, relative: str, parse: Callable[[bytes, Path], Any]) -> Any:
        if self._read is not None and relative in self._read:
            return self._read[relative]
        found = parse(self.read(relative), self.path / relative)
        if self._read is not None:
            self._read[relative] = found
        return found

    def config_toml(self) -> str:
        """Return the text of ``config.toml``; `config_edited` then says if it was changed.

        Raises:
            IntegrityError: the file cannot be read.
        """
        path = self.path / CONFIG
        try:
            content = reading.read_inside(self.path, CONFIG, reading.MOST_TOML)
            text = content.decode("utf-8")
        except OSError as error:
            reason = errors.describe_os_error(error)
            raise errors.IntegrityError(
                f"{path} cannot be read: {reason}; put a copy of the file in its place"
            ) from error
        except UnicodeDecodeError as error:
            raise errors.IntegrityError(f"{path} is damaged: it is not UTF-8 text") from error
        known = self.manifest.config_file_sha256
        self.config_edited = known not in ("", hashlib.sha256(content).hexdigest())
        return text

    def append_event(self, line: str) -> None:
        """Append one line to the event log, which is not an artefact and has no hash."""
        try:
            with open(self.path / EVENTS, "ab", opener=_open_without_following) as file:
                file.write(f"{line}\n".encode())
        except OSError as error:
            raise atomic.storage_error(self.path / EVENTS, error) from error

    def _sweep(self) -> None:
        """Remove temporary files that a killed writer left."""
        with suppress(OSError):  # they are in nobody's way
            for path, _ in list(reading.everything_in(self.path)):
                if path.name.startswith(atomic.TEMPORARY_PREFIX):
                    path.unlink(missing_ok=True)


def _open_without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _separate(path: Path) -> None:
    """Give a file that is changed in place its own content, if other names share it.

    Backups made with hard links share it, and a stranger's archive may share a file of the user's.
    """
    if path.exists() and path.stat().st_nlink > 1:
        atomic.write_bytes(path, path.read_bytes())


def _check_new(path: Path) -> None:
    """Refuse a folder that contains something other than the start of a run.

    A process that was killed while it created a run may have left its lock and configuration.

    Raises:
        UserError: there is something else.
        OSError: the folder cannot be read.
    """
    names = {name for name in os.listdir(path) if not name.startswith(atomic.TEMPORARY_PREFIX)}  # noqa: PTH208
    others = names - {LOCK, f"{LOCK}.json", CONFIG}
    if NAME not in names and names and (others or LOCK not in names):
        raise errors.UserError(
            f"{path} exists, but is not a run: it contains {min(others or names)!r}; choose "
            f"another --name"
        )


def check_folder_name(name: str) -> None:
    """Refuse a name of a run or study that is a path, because it would not be listed, or no text.

    Raises:
        UserError: the name is a path, looks like an option, or has characters that are no text.
    """
    if name.startswith("-") or name != printable(name):
        raise errors.UserError(
            f"--name {name!r}: should not begin with '-', and not have control characters"
        )
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise errors.UserError(
            f"--name {name!r}: should be the name of a folder; --out sets its parent"
        )


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
                raise errors.StorageError(f"{root} is not a folder: choose another") from None
        except OSError as error:
            raise atomic.storage_error(path, error) from error
        else:
            return path
    raise errors.StorageError(f"{root} has no free name {stem}-xxxx: choose one with --name")
