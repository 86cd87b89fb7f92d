"""The explorer's container as one HTML page, which needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

from latentkit.explore.explorer_layout import Layout

_NO_SCRIPT = "This page draws a map of images with JavaScript, which is switched off here."
_HEADER = '<script type="application/json" id="explorer-header">'
_BLOB = '<script type="application/octet-stream"'
_END = f'{_BLOB} id="explorer-end"></script>\n</body>\n</html>\n'


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
    before, between, after = _frame(script, style)
    parts = [
        f"{before}<title>{html.escape(str(layout.header['title']))}</title>{between}",
        f"{_HEADER}{header}</script>\n{after}",
    ]
    for name, blob in layout.blobs.items():
        facts = f'data-section="{html.escape(name)}" data-bytes="{blob.size}"'
        text = base64.b64encode(blob.stored).decode("ascii")
        parts.append(f'{_BLOB} {facts} data-crc="{blob.crc:08x}">{text}</script>\n')
    parts.append(_END)
    return "".join(parts).encode(errors="backslashreplace")


def is_written_with(page: bytes, script: str, style: str) -> bool:
    """Return whether a page can run nothing but this script.

    A page from somebody else may have any script in it, and a browser would run it. This page is
    exactly what `explorer_html` writes around some header and some blobs, which are only data.
    """
    before, between, after = map(re.escape, _frame(script, style))
    blobs = rf'(?:{_BLOB} data-section="[\w/.-]+" data-bytes="\d+" data-crc="[0-9a-f]{{8}}">'
    blobs += r"[A-Za-z0-9+/=]*</script>\n)*"
    pattern = f"{before}<title>[^<]*</title>{between}{_HEADER}[^<]*</script>\n{after}{blobs}{_END}"
    try:
        return re.fullmatch(pattern, page.decode("utf-8")) is not None
    except UnicodeDecodeError:
        return False


def lacks_images(page: bytes) -> bool:
    """Return whether a page says that the images of its items were not in place."""
    header = page.partition(_HEADER.encode())[2].partition(b"</script>")[0]
    return b'"no_images":"' in header


def _frame(script: str, style: str) -> tuple[str, str, str]:
    """Return what every page has before its title, up to its header, and up to its blobs."""
    before = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, style)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n'
    )
    between = (
        f"\n<style>{style}</style>\n</head>\n<body>\n"
        f'<main id="explorer"></main>\n<noscript>{_NO_SCRIPT}</noscript>\n'
    )
    return before, between, f"<script>{script}</script>\n"


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
