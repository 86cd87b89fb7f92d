"""The URL of a study's storage, which is used only if the user named it.

A study's folder may come from a stranger. The URL in its ``study.json`` could lead to a host that
collects passwords, to a file of the user's, or to a driver whose import executes code. So it is
used only if this user named it before, and no part of latentkit or SQLAlchemy sees it until then.
"""

from __future__ import annotations

import re
from pathlib import Path

from latentkit import trust
from latentkit.errors import UserError, describe_os_error
from latentkit.plugin.database_urls import public_url
from latentkit.reading import open_file
from latentkit.terminal import printable

_MOST_BYTES = 2**16
_FORM = "sqlite:///study.db or postgresql+psycopg://USER@HOST/DATABASE"


def absolute_url(url: str) -> str:
    """Return a URL whose path to a SQLite file, if it has one, is absolute."""
    of_file = re.fullmatch(r"(sqlite[^:/]*:///)(?!file:|:memory:)([^?]+)(.*)", url)
    return f"{of_file[1]}{Path(of_file[2]).absolute()}{of_file[3]}" if of_file else url


def given_url(text: str) -> str:
    """Return the absolute URL that a user gave, directly or as ``@FILE``.

    A file keeps the password out of the list of processes, which other users can read.

    Raises:
        UserError: it is no URL, its file cannot be read, or it can be read in two ways.
    """
    url = _in_file(Path(text[1:]).expanduser()) if text.startswith("@") else text
    name, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[\w+.]+", name):
        raise UserError(
            f"the storage is not a URL that SQLAlchemy can read: write one such as {_FORM}, or "
            f"@FILE for a file that holds it"
        )
    user = re.match(r"[^:/@]*(:[^@]*)?@", rest)
    after = rest[user.end() :] if user else rest
    has_password = user is not None and user[1] is not None
    if not rest.startswith("/") and "@" in (after if has_password else after.partition("?")[0]):
        raise UserError(
            "the storage's URL has more than one '@': write %40 in place of an '@' in its user "
            "name, password or options"
        )
    return absolute_url(url)


def _in_file(path: Path) -> str:
    """Return the URL in a file's first line."""
    try:
        with open_file(path) as file:
            lines = file.read(_MOST_BYTES).decode("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"--storage @{path}: the file cannot be read: {reason}") from error
    return lines[0].strip()


def allow_storage(url: str | None) -> None:
    """Remember that the user named this storage, for this process and later ones."""
    if url:
        public = public_url(url)
        trust.trust("storage", public, public)


def check_allowed(study: str, url: str) -> None:
    """Refuse the storage that a study's folder names, unless the user named it before.

    Raises:
        UserError: the user did not; the message names the storage without its secrets.
    """
    public = public_url(url)
    if url == public and trust.is_trusted("storage", public):
        return
    raise UserError(
        f"study {printable(study)!r} keeps its trials at {printable(public)}, an address that you "
        f"have not named before: nothing is opened there; if you trust the address, name it with "
        f"--storage (in Python storage=)"
    )
