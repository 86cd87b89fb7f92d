"""The explorer's container as one HTML page, which needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
import html
import json

from latentkit.explore.explorer_layout import Layout

_NO_SCRIPT = "This page draws a map of images with JavaScript, which is switched off here."
_END = '<script type="application/octet-stream" id="explorer-end"></script>'


def explorer_html(layout: Layout, script: str, style: str) -> bytes:
    """Return the container as a page that needs no network and no server.

    Args:
        layout: the container.
        script: the front end, which reads the container from the page.
        style: its style sheet.

    Raises:
        ValueError: script or style would end early within a page.
    """
    for text, endings in ((script, ("</script", "<!--", "\r")), (style, ("</style", "\r"))):
        for ending in endings:
            if ending in text.lower():
                raise ValueError(f"the front end has {ending!r}, which a page cannot contain")
    header = json.dumps(layout.header, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":  # so that no text of the data ends the element
        header = header.replace(character, f"\\u{ord(character):04x}")
    title = html.escape(str(layout.header["title"]))
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, style)}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n',
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n",
        '<main id="explorer"></main>\n',
        f"<noscript>{_NO_SCRIPT}</noscript>\n",
        f'<script type="application/json" id="explorer-header">{header}</script>\n',
        f"<script>{script}</script>\n",
    ]
    for name, blob in layout.blobs.items():
        facts = f'data-section="{html.escape(name)}" data-bytes="{blob.size}"'
        text = base64.b64encode(blob.stored).decode("ascii")
        parts.append(
            f'<script type="application/octet-stream" {facts} data-crc="{blob.crc:08x}">'
            f"{text}</script>\n"
        )
    parts.append(f"{_END}\n</body>\n</html>\n")
    return "".join(parts).encode(errors="backslashreplace")


def _policy(script: str, style: str) -> str:
    """Return a content security policy for this script and this style sheet alone."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (script, style)
    ]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}' 'wasm-unsafe-eval'; "
        f"style-src 'sha256-{hashes[1]}'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
