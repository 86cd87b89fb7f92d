"""JSON files of a study that contain their own SHA-256, so that a changed bit is noticed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentkit.atomic import write_bytes
from latentkit.config import canonical_sha256
from latentkit.errors import IntegrityError, describe_os_error
from latentkit.reading import MOST_JSON, parse_json, read_inside

_HASH = "sha256"


def write_hashed(path: Path, document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write a document and its hash into a folder that exists.

    Raises:
        StorageError: the folder was deleted, or cannot be written.
    """
    whole = {**document, _HASH: canonical_sha256(document)}
    write_bytes(
        path, f"{json.dumps(whole, indent=indent, allow_nan=False)}\n".encode(), path.parent
    )


def read_hashed(folder: Path, name: str, *, older: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a document without its hash.

    Args:
        folder: a folder that may come from a stranger.
        name: name of the file in it.
        older: the keys of a document that an older version wrote without a hash; a document
            without a hash is refused unless it has exactly these.

    Raises:
        FileNotFoundError: there is no such file.
        IntegrityError: it cannot be read, is no JSON object, or differs from its hash.
    """
    path = folder / name
    try:
        document = parse_json(read_inside(folder, name, MOST_JSON), path)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = describe_os_error(error)
        raise IntegrityError(f"{path} cannot be read: {reason}") from error
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} is damaged: it is not a JSON object")
    stored = document.pop(_HASH, None)
    if stored is None and older and older == document.keys():
        return document
    if stored is None:
        raise IntegrityError(f"{path} is damaged: it has no SHA-256")
    if stored != canonical_sha256(document):
        raise IntegrityError(f"{path} is damaged: its SHA-256 differs")
    return document
