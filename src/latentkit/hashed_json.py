"""JSON files that contain their own SHA-256, so that a changed bit is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from latentkit.atomic import write_json
from latentkit.errors import IntegrityError, describe_os_error
from latentkit.reading import MOST_JSON, parse_json, read_inside

_HASH = "sha256"


def canonical_sha256(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document; the order of its keys does not matter."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_hashed(path: Path, document: Mapping[str, Any], root: Path | None = None) -> None:
    """Write a document and its hash with `write_json`.

    Args:
        path: the file.
        document: without its hash.
        root: folder that is never created; by default the file's own.

    Raises:
        StorageError: the folder was deleted, or cannot be written.
    """
    write_json(path, {**document, _HASH: canonical_sha256(document)}, root or path.parent)


def read_hashed(folder: Path, name: str, *, older: Collection[str] = ()) -> dict[str, Any]:
    """Return a document without its hash.

    Args:
        folder: a folder that may come from a stranger.
        name: name of the file in it.
        older: as in `without_hash`.

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
    return without_hash(document, path, older)


def without_hash(document: Any, path: Path, older: Collection[str] = ()) -> dict[str, Any]:
    """Check a document against the hash in it, and return it without the hash.

    Args:
        document: what the file contains.
        path: the file, for the error.
        older: the keys of a document that an older version wrote without a hash. A document
            without a hash is refused unless it has exactly these, because the name of the hash's
            own key may be what was damaged.

    Raises:
        IntegrityError: it is no JSON object, or differs from its hash.
    """
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} is damaged: it is not a JSON object")
    rest = {key: value for key, value in document.items() if key != _HASH}
    if _HASH not in document:
        if older and set(older) == rest.keys():
            return rest
        raise IntegrityError(f"{path} is damaged: it has no SHA-256")
    if document[_HASH] != canonical_sha256(rest):
        raise IntegrityError(f"{path} is damaged: its SHA-256 differs; put a copy in its place")
    return rest
