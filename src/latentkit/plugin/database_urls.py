"""Databases: their URLs without secrets, and SQLite files that a stranger may have made."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from urllib.parse import unquote

from latentkit.errors import IntegrityError

_HARMLESS = frozenset(
    {
        "application_name",
        "cache",
        "charset",
        "client_encoding",
        "connect_timeout",
        "host",
        "immutable",
        "mode",
        "port",
        "ssl_mode",
        "sslmode",
        "target_session_attrs",
        "timeout",
        "uri",
        "user",
    }
)
"""Keys of a URL's query that hold no secret and load no code. Every other key is left out."""
_SHORTEST_SECRET = 3


def public_url(url: str | None) -> str:
    """Return a storage's URL without secrets, so that it can be stored and shown.

    Everything from the first ``:`` of the user's part up to the last ``@`` counts as the password.
    Of the query, only keys that are known to be harmless are kept.
    """
    if not url:
        return ""
    name, separator, rest = url.partition("://")
    if not separator:
        return "(no URL)"
    if not rest.startswith("/"):  # after a slash there is no user
        has_password = re.match(r"[^:/]*:[^@]*@", rest)
        if has_password or "@" in rest.partition("?")[0]:
            user = re.split(r"[:/?@]", rest, maxsplit=1)[0]
            rest = f"{user}@{rest.rpartition('@')[2]}"
    address, _, query = rest.partition("?")
    kept = [part for part in query.split("&") if _is_harmless(part)]
    return f"{name}://{address}{'?' if kept else ''}{'&'.join(kept)}"


def _is_harmless(part: str) -> bool:
    key, _, value = part.partition("=")
    return key in _HARMLESS and "@" not in value


def without_secrets(text: str, url: str) -> str:
    """Return a message about a URL in which each secret of the URL is replaced by ``***``."""
    _, _, rest = url.partition("://")
    secrets = set()
    if not rest.startswith("/") and "@" in rest:
        password = re.split(r"[:/]", rest.rpartition("@")[0], maxsplit=1)[-1]
        secrets |= {password, *password.split("@")}
    parts = rest.partition("?")[2].split("&")
    secrets |= {part.partition("=")[2] for part in parts if not _is_harmless(part)}
    secrets |= {unquote(secret) for secret in secrets}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


_SQLITE_FILES = ("", "-journal", "-wal", "-shm")
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def check_sqlite_files(database: Path) -> None:
    """Refuse an SQLite database whose opening would touch files elsewhere, or would block.

    SQLite follows links. It also reads, and may delete, the file that a journal names at its end,
    which it only writes for transactions over several databases.

    Args:
        database: the database's file; it may be missing.

    Raises:
        IntegrityError: the database or a file that belongs to it is a link or no regular file, or
            its journal names another file.
    """
    for suffix in _SQLITE_FILES:
        path = database.with_name(f"{database.name}{suffix}")
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise IntegrityError(f"{path} cannot be read: {error.strerror}") from error
        if stat.S_ISLNK(found.st_mode):
            raise IntegrityError(f"{path} is a link, which is not followed: remove it")
        if not stat.S_ISREG(found.st_mode):
            raise IntegrityError(f"{path} is not a regular file: remove it")
        if found.st_nlink > 1:
            raise IntegrityError(
                f"{path} has another name elsewhere (a hard link), so writing would change that "
                f"file: copy its folder, and open the copy"
            )
        if suffix == "-journal" and _names_a_file(path):
            raise IntegrityError(
                f"{path} names another file, which SQLite might delete: nothing is opened"
            )


def _names_a_file(journal: Path) -> bool:
    try:
        with journal.open("rb") as file:
            if file.seek(0, 2) < 2 * len(_SUPER_JOURNAL):
                return False
            file.seek(-len(_SUPER_JOURNAL), 2)
            return file.read() == _SUPER_JOURNAL
    except OSError:  # SQLite will say what is wrong
        return False
