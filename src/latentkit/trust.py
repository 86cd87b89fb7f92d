"""What this user has allowed or made: plugin files, databases and studies.

A run may name plugin files, and a study a database. Whoever sent the folder chose those names, so
they are only used if this user named them on a command line before, or allowed them explicitly.
Each permission is a small file in the user's folder of settings.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
from pathlib import Path
from typing import Literal

import platformdirs

from latentkit.atomic import write_bytes, write_json
from latentkit.errors import StorageError

Kind = Literal["plugin", "storage"]

_allowed_here: dict[tuple[Kind, str], str] = {}
_SECRET = "secret"  # noqa: S105  # a file's name
_SEAL = ".owner"


def trust(kind: Kind, key: str, name: str) -> bool:
    """Allow something, in this process and in later ones.

    Args:
        kind: what is allowed.
        key: what identifies it: the SHA-256 of a plugin file, or the URL of a database.
        name: its path or address.

    Returns:
        Whether later processes know it; False if the folder of settings cannot be written.
    """
    known = trusted_name(kind, key)
    _allowed_here[kind, key] = name
    if known == name:
        return True
    try:
        write_json(_file(kind, key), {"kind": kind, "key": key, "name": name})
    except StorageError:
        return False
    return True


def without_current_folder() -> dict[str, str]:
    """Return variables for new Python processes, so that they import nothing from where they start.

    The current folder may be a stranger's. They import from it only if this process does so, too,
    as in a notebook.
    """
    here = Path.cwd()
    if any(Path(place).absolute() == here for place in sys.path):
        return {}
    return {"PYTHONSAFEPATH": "1"}


def is_trusted(kind: Kind, key: str) -> bool:
    """Return whether the user has allowed something; arguments as in `trust`."""
    return trusted_name(kind, key) is not None


def trusted_name(kind: Kind, key: str) -> str | None:
    """Return the path or address under which the user allowed something; None if not allowed."""
    if (kind, key) in _allowed_here:
        return _allowed_here[kind, key]
    try:
        return str(json.loads(_file(kind, key).read_bytes())["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def folder() -> Path:
    """Return the folder of permissions; deleting a file in it takes the permission back."""
    return platformdirs.user_config_path("latentkit") / "trusted"


def _file(kind: Kind, key: str) -> Path:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return folder() / f"{kind}-{digest}.json"


def seal(made: Path) -> None:
    """Write a file into a folder by which `is_sealed` knows that this user made the folder.

    The seal is made with a secret of the user, and holds for this folder only, not for a copy.
    Without a folder of settings that can be written, nothing is sealed.
    """
    try:
        secret = folder() / _SECRET
        if not secret.is_file():
            write_bytes(secret, os.urandom(32).hex().encode())
            secret.chmod(0o600)
        write_bytes(made / _SEAL, _seal_of(made).encode(), made)
    except (OSError, StorageError):
        return


def is_sealed(made: Path) -> bool:
    """Return whether this user made a folder here."""
    try:
        path = made / _SEAL
        return not path.is_symlink() and hmac.compare_digest(path.read_text(), _seal_of(made))
    except (OSError, ValueError, TypeError):
        return False


def _seal_of(made: Path) -> str:
    found = made.stat()
    text = f"{made.resolve()}\n{found.st_dev}\n{found.st_ino}"
    secret = (folder() / _SECRET).read_bytes()
    return hmac.new(secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
