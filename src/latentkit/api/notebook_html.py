"""Runs and studies in a notebook: tables and pictures as HTML."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from latentkit.errors import IntegrityError

_MAPS = ("map-", "features-")  # maps of latents; of a transfer's features before and after
_OVERLAYS = ("-images", "-errors")  # the same map with thumbnails or lines on it
_WIDTH = 480  # maximum, in CSS pixels


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return a table as HTML with escaped text; the first cell of each row is its heading."""
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in header)
    lines = [f"<tr>{head}</tr>"] if header else []
    for name, *cells in rows:
        others = "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th style='text-align:left'>{escape(name)}</th>{others}</tr>")
    return f"<table>{''.join(lines)}</table>"


def title(name: str, note: str) -> str:
    """Return a line with a name and a note on it, as HTML."""
    return f"<div><b>{escape(name)}</b> ({escape(note)})</div>"


def map_pictures(figures: Mapping[str, Callable[[], bytes]]) -> str:
    """Return the maps among figures as HTML with embedded PNGs.

    Args:
        figures: by name, a function that reads the PNG; it may raise `IntegrityError`, and the
            picture is then replaced by the reason.
    """
    wanted = (n for n in sorted(figures) if n.startswith(_MAPS) and not n.endswith(_OVERLAYS))
    return "".join(_picture(name, figures[name]) for name in wanted)


def _picture(name: str, read: Callable[[], bytes]) -> str:
    try:
        data = base64.b64encode(read()).decode()
    except IntegrityError as error:
        return f"<p>{escape(name)} is left out: {escape(str(error))}</p>"
    return (
        f"<img alt='{escape(name, quote=True)}' style='max-width:{_WIDTH}px' "
        f"src='data:image/png;base64,{data}'>"
    )
