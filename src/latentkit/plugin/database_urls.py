"""The URL of a database without its secrets, for messages and files that others may read."""

from __future__ import annotations

import re
from urllib.parse import unquote

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
