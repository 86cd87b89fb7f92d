"""A fitted encoder in one file: safetensors, whose metadata is JSON with a SHA-256 of all of it.

Nothing in the file is executed when it is read: the network is built by the installed model of the
name that stands there.
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
    """Write facts, JSON without NaN, and weights to ``path``.

    Raises:
        UserError: a fact cannot be written as JSON.
        StorageError: the folder cannot be written; what was there is as it was.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in weights.items()}
    document: dict[str, Any] = {"format": FORMAT, "latentkit": __version__, **facts}
    try:
        document["sha256"] = _digest(document, tensors)
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"cannot save the encoder: a parameter is not what JSON holds ({error})"
        ) from error
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {_KEY: text}))


def read_encoder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `write_encoder` wrote: facts and weights.

    Raises:
        UserError: there is no such file, or it holds something else.
        IntegrityError: it was changed.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        reason = describe_os_error(error)
        raise UserError(f"cannot read the encoder {path}: {reason}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is no encoder that was saved whole: {error}") from error
    if text is None:
        raise UserError(f"{path} is no encoder: LatentEncoder.save writes one")
    try:
        facts = json.loads(text)
        stated, version = facts.pop("sha256"), facts["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} was changed since it was saved: save it again") from error
    if version != FORMAT:
        raise UserError(
            f"{path} was saved by latentkit {facts.get('latentkit')} in format {version}, and this "
            f"is latentkit {__version__}, which reads format {FORMAT}: install the other one"
        )
    # Other digits may stand for the same number: what is written anew has to be the same text.
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
