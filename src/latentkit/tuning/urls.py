"""URLs of storages: without passwords, and with absolute paths."""

from __future__ import annotations

import re
from pathlib import Path


def absolute_url(url: str) -> str:
    """Return a URL whose path to a SQLite file, if it has one, is absolute."""
    of_file = re.fullmatch(r"(sqlite[^:/]*:///)(?!file:|:memory:)([^?]+)(.*)", url)
    return f"{of_file[1]}{Path(of_file[2]).absolute()}{of_file[3]}" if of_file else url


def public_url(url: str | None) -> str:
    """Return a storage's URL without passwords, so that it can be stored and shown."""
    if not url:
        return ""
    address, _, query = re.sub(r"^([^:/]+://[^:/@]*):[^@]*@", r"\1@", url).partition("?")
    kept = [part for part in query.split("&") if part and "password" not in part.split("=")[0]]
    return f"{address}?{'&'.join(kept)}" if kept else address
