"""Checkpoints of training. The last two are kept, each a safetensors file and a JSON file.

The JSON file is written last and holds the SHA-256 of the tensors and of itself, so a checkpoint is
complete, absent, or known to be damaged. Random state is stored only within an epoch, because every
random stream is a function of seed and epoch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from latentkit.atomic import sha256_of, write_atomically
from latentkit.errors import IntegrityError
from latentkit.hashed_json import read_hashed, write_hashed
from latentkit.reading import read_inside

KEPT = 2
_KEYS = {"epoch", "step", "epochs", "config_sha256", "tensors_sha256", "history"}
_OLDER_KEYS = _KEYS - {"epochs"}
_WITHIN_KEYS = _KEYS | {"unfinished"}
_NAME = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?")
_Key = tuple[int, int]  # finished epochs, and finished batches of the next one


@dataclass(frozen=True)
class Unfinished:
    """An epoch that is not finished at a checkpoint.

    Args:
        batches: its batches that are finished.
        seconds: the time that they took.
        terms: names of the terms of the loss.
    """

    batches: int
    seconds: float
    terms: Sequence[str]


@dataclass(frozen=True)
class Progress:
    """Progress of training at a checkpoint.

    Args:
        epoch: number of finished epochs.
        step: number of optimiser steps taken.
        history: one record per epoch.
        config_sha256: SHA-256 of the configuration of the training, without ``epochs``.
        epochs: number of epochs that the training had, on which the learning rate depends; 0 in
            checkpoints of early versions.
        unfinished: the epoch within which the checkpoint is; None between epochs.
    """

    epoch: int
    step: int
    history: tuple[Mapping[str, Any], ...]
    config_sha256: str
    epochs: int = 0
    unfinished: Unfinished | None = None

    @property
    def _key(self) -> _Key:
        return self.epoch, 0 if self.unfinished is None else self.unfinished.batches

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON; the key ``unfinished`` is there if an epoch is."""
        found = {**asdict(self), "history": list(self.history)}
        if self.unfinished is None:
            del found["unfinished"]
        return found

    @classmethod
    def of_dict(cls, document: Mapping[str, Any]) -> Progress:
        """Return the progress of which `as_dict` gave a document; it may have other keys, too."""
        within = document.get("unfinished")
        return cls(
            document["epoch"],
            document["step"],
            tuple(document["history"]),
            document["config_sha256"],
            document.get("epochs", 0),
            None if within is None else Unfinished(**within),
        )


class CheckpointStore:
    """Store of the checkpoints in one folder.

    Args:
        folder: the folder, created when the first checkpoint is saved.
        root: folder above it that is never created, as in `write_atomically`.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self._folder = folder
        self._root = root

    def save(self, tensors: Mapping[str, Tensor], progress: Progress) -> None:
        """Save a checkpoint, and delete all but the last two."""
        tensors_path, record_path = self._paths(progress._key)
        write_atomically(tensors_path, lambda path: save_tensors(tensors, path), self._root)
        record = {**progress.as_dict(), "tensors_sha256": sha256_of(tensors_path)}
        write_hashed(record_path, record, self._root)
        for key in self._keys()[:-KEPT]:
            for path in reversed(self._paths(key)):
                with suppress(OSError):  # an old checkpoint that stays does no harm
                    path.unlink(missing_ok=True)

    def latest(
        self, config_sha256: str, epochs: Collection[int]
    ) -> tuple[Progress | None, dict[str, Tensor], list[str]]:
        """Read the latest intact checkpoint of this configuration.

        Args:
            config_sha256: as in `Progress`.
            epochs: the numbers of epochs that this training has had, now and before it was
                extended. Checkpoints of a training with other numbers are not used.

        Returns:
            Its progress (None if there is no checkpoint), its tensors, and one line for each
            checkpoint that cannot be used.
        """
        damaged = []
        for key in reversed(self._keys()):
            try:
                progress, tensors = self._read(key)
            except IntegrityError as error:
                damaged.append(str(error))
                continue
            if progress.config_sha256 == config_sha256 and progress.epochs in (0, *epochs):
                return progress, tensors, damaged
            damaged.append(f"checkpoint of epoch {key[0]} belongs to another configuration")
        return None, {}, damaged

    def history(self, epoch: int) -> tuple[Mapping[str, Any], ...]:
        """Return the records up to ``epoch``, without checking its tensors for damage again.

        Raises:
            IntegrityError: the record is damaged.
        """
        return tuple(self._record((epoch, 0))["history"])

    def _read(self, key: _Key) -> tuple[Progress, dict[str, Tensor]]:
        record = self._record(key)
        path, _ = self._paths(key)
        try:
            content = read_inside(self._folder, path.name)
            if hashlib.sha256(content).hexdigest() != record["tensors_sha256"]:
                raise IntegrityError(f"checkpoint {path} is damaged (SHA-256 differs)")
            progress = Progress.of_dict(record)
            if progress._key != key:
                raise IntegrityError(f"checkpoint {path} is that of epoch {progress.epoch}")
            return progress, load(content)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise IntegrityError(f"checkpoint {path} is damaged: {error}") from error

    def _record(self, key: _Key) -> dict[str, Any]:
        """Return the record of a checkpoint.

        Raises:
            IntegrityError: it is damaged.
        """
        _, path = self._paths(key)
        try:
            record = read_hashed(self._folder, path.name, older=_OLDER_KEYS)
        except OSError as error:
            raise IntegrityError(f"checkpoint {path} is damaged: {error}") from error
        if record.keys() not in (_KEYS, _OLDER_KEYS, _WITHIN_KEYS):
            raise IntegrityError(f"checkpoint {path} is damaged: it has other keys")
        if record["epoch"] != key[0]:
            raise IntegrityError(f"checkpoint {path} is that of epoch {record['epoch']}")
        return record

    def _keys(self) -> list[_Key]:
        names = (_NAME.fullmatch(path.stem) for path in self._folder.glob("epoch-*.json"))
        return sorted((int(name[1]), int(name[2] or 0)) for name in names if name)

    def _paths(self, key: _Key) -> tuple[Path, Path]:
        epoch, batches = key
        within = f"-batch-{batches:07d}" if batches else ""
        stem = self._folder / f"epoch-{epoch:05d}{within}"
        return stem.with_suffix(".safetensors"), stem.with_suffix(".json")


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, each as a contiguous copy on the CPU."""
    # save_file would replace a system error, such as a full disk, by its own error.
    path.write_bytes(tensor_bytes(tensors))


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as the bytes of a safetensors file."""
    return save({k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()})
