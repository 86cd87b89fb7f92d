"""The file format of a fitted encoder: safetensors with JSON metadata and a SHA-256 of both.

Reading executes no code from the file: the installed model of the stored name builds the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from latentkit._version import __version__
from latentkit.config import canonical_sha256
from latentkit.errors import IntegrityError, UserError, describe_os_error
from latentkit.runs.commit import write_atomically

FORMAT = 1
_KEY = "latentkit-encoder"


def write_encoder(path: Path, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write facts (JSON without NaN) and weights to ``path``.

    Raises:
        UserError: a fact cannot be written as JSON.
        StorageError: the folder cannot be written; an existing file is unchanged.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in weights.items()}
    document: dict[str, Any] = {"format": FORMAT, "latentkit": __version__, **facts}
    try:
        document["sha256"] = _digest(document, tensors)
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"cannot save the encoder: a parameter cannot be written as JSON ({error})"
        ) from error
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {_KEY: text}))


def read_encoder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and weights that `write_encoder` wrote.

    Raises:
        UserError: the file does not exist, or is not an encoder of this format.
        IntegrityError: the file was changed after it was saved.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        reason = describe_os_error(error)
        raise UserError(f"cannot read the encoder {path}: {reason}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is not a complete encoder file: {error}") from error
    if text is None:
        raise UserError(f"{path} is not an encoder: name a file that LatentEncoder.save wrote")
    try:
        facts = json.loads(text)
        stated, version = facts.pop("sha256"), facts["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} was changed since it was saved: save it again") from error
    if version != FORMAT:
        raise UserError(
            f"{path} has format {version}, but latentkit {__version__} reads format {FORMAT}: "
            f"install latentkit {facts.get('latentkit')}, which saved it"
        )
    # Different digits can denote the same number, so the text itself must match as well.
    same_text = json.dumps({**facts, "sha256": stated}) == text
    if not same_text or stated != _digest(facts, tensors):
        raise IntegrityError(
            f"{path} was changed since it was saved (its SHA-256 differs): save it again"
        )
    return facts, tensors


def _digest(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    sha = hashlib.sha256(canonical_sha256(document).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().view(-1).view(uint8).numpy().data)
    return sha.hexdigest()
