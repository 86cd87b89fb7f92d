"""What this user has allowed: plugin files to execute, and databases to connect to.

A run may name plugin files, and a study a database. Whoever sent the folder chose those names, so
they are only used if this user named them on a command line before, or allowed them explicitly.
Each permission is a small file in the user's folder of settings.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import platformdirs

from latentkit.atomic import write_json
from latentkit.errors import StorageError

Kind = Literal["plugin", "storage"]

_allowed_here: set[tuple[Kind, str]] = set()


def trust(kind: Kind, key: str, name: str) -> bool:
    """Allow something, in this process and in later ones.

    Args:
        kind: what is allowed.
        key: what identifies it: the SHA-256 of a plugin file, or the URL of a database.
        name: its path or address, for a reader of the folder of permissions.

    Returns:
        Whether later processes know it; False if the folder of settings cannot be written.
    """
    _allowed_here.add((kind, key))
    if _file(kind, key).is_file():
        return True
    try:
        write_json(_file(kind, key), {"kind": kind, "key": key, "name": name})
    except StorageError:
        return False
    return True


def is_trusted(kind: Kind, key: str) -> bool:
    """Return whether the user has allowed something; arguments as in `trust`."""
    try:
        return (kind, key) in _allowed_here or _file(kind, key).is_file()
    except OSError:
        return False


def folder() -> Path:
    """Return the folder of permissions; deleting a file in it takes the permission back."""
    return platformdirs.user_config_path("latentkit") / "trusted"


def _file(kind: Kind, key: str) -> Path:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return folder() / f"{kind}-{digest}.json"
