"""HTML of runs and studies for notebooks: a small table and embedded pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

_MAPS = ("map-", "features-")  # maps of latents; of a transfer's features before and after
_OVERLAYS = "-images"  # the same map with thumbnails on it
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


def map_pictures(figures: Mapping[str, Path]) -> str:
    """Return the maps among a run's figures as HTML with embedded PNGs; skip missing files."""
    wanted = {
        name: path
        for name, path in figures.items()
        if name.startswith(_MAPS) and not name.endswith(_OVERLAYS) and path.exists()
    }
    return "".join(_picture(name, path) for name, path in sorted(wanted.items()))


def _picture(name: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f"<img alt='{escape(name, quote=True)}' style='max-width:{_WIDTH}px' "
        f"src='data:image/png;base64,{data}'>"
    )
