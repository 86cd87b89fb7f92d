"""Saved weights of a run or a file, read only in ways that cannot run code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from latentkit.errors import (
    BrokenEnvironmentError,
    DataError,
    UserError,
    describe_os_error,
)
from latentkit.runs.commit import sha256_of
from latentkit.runs.folder import RunFolder, find_run

MODEL = "model.safetensors"
_SAFE_SINCE = Version("2.10")  # before, weights_only is unsafe: CVE-2026-24747
_NESTED = ("state_dict", "model_state_dict", "model", "weights")
_WAY_OUT = "save its state_dict() with safetensors.torch.save_file"


@dataclass(frozen=True)
class SavedWeights:
    """Named tensors, and the file that they come from.

    Args:
        tensors: the tensors by name, on the CPU.
        path: path of the file.
        sha256: SHA-256 of the file.
    """

    tensors: Mapping[str, Tensor]
    path: Path
    sha256: str


def find_weights(reference: str, runs: Path) -> Path:
    """Return a file of weights, given as its path or as the run that trained them.

    Raises:
        UserError: there is no such file or run.
        IntegrityError: the run's weights were changed, or do not exist yet.
    """
    path = Path(reference)
    if path.is_file():
        return path
    try:
        run = find_run(reference, runs)
    except UserError:
        raise UserError(
            f"there is no file and no run {reference!r} to take weights from: give a run, a "
            f".safetensors file, or a torch checkpoint"
        ) from None
    return RunFolder.open(run).verified(MODEL)


def read_weights(path: Path) -> SavedWeights:
    """Read named tensors. A torch checkpoint is read weights-only, never as a pickle.

    Raises:
        UserError: the file cannot be read, or holds no named tensors.
        DataError: a weight is NaN or infinite.
        BrokenEnvironmentError: this version of torch does not read weights-only safely.
    """
    try:
        sha256 = sha256_of(path)
        tensors = load_file(path) if path.suffix == ".safetensors" else _checkpoint(path)
    except OSError as error:
        raise UserError(f"cannot read weights {path}: {describe_os_error(error)}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file: {error}") from error
    check_finite(tensors, str(path))
    return SavedWeights(tensors, path, sha256)


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        DataError: names the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DataError(
                f"{where}: {name} holds NaN or infinity, because training diverged: use the "
                f"weights of an earlier epoch"
            )


def _checkpoint(path: Path) -> Mapping[str, Tensor]:
    if Version(torch.__version__).release < _SAFE_SINCE.release:
        raise BrokenEnvironmentError(
            f"torch {torch.__version__} does not read checkpoints safely: run  pip install "
            f"'torch>={_SAFE_SINCE}', or {_WAY_OUT}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about files that it then refuses
            document = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a file of another kind can fail anywhere in the reader
        raise UserError(
            f"{path} cannot be read weights-only, and other files are refused because they could "
            f"run code: {_WAY_OUT}"
        ) from error
    return _named_tensors(document, path)


def _named_tensors(document: Any, path: Path) -> Mapping[str, Tensor]:
    """Return the state dict in a document, which may be under one of the usual keys."""
    found = document
    if isinstance(document, Mapping):
        found = next((document[k] for k in _NESTED if isinstance(document.get(k), Mapping)), found)
    if isinstance(found, Mapping):
        tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise UserError(f"{path} holds no state dict (tensors by name): {_WAY_OUT}")
