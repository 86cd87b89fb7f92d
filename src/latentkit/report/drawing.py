"""One figure of the report: its file name, its title and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from latentkit.errors import leaving_out
from latentkit.figures.style import save_png, save_svg
from latentkit.report.page import Picture, Section, Table

STAGE = "report"

Drawn = tuple[Figure, str]
"""A figure and its caption."""

Commit = Callable[[str, Callable[[Path], None]], None]
"""Takes a path relative to the page's folder and a function that writes the file there."""


@dataclass(frozen=True)
class Drawing:
    """A figure that the report may show.

    Args:
        name: name of its file below ``figures/``, without a suffix.
        title: heading above the figure.
        draw: returns the figure and its caption.
        absent: why runs of this kind cannot have the figure, which is then not drawn but listed
            with the reason; empty if it can be drawn.
    """

    name: str
    title: str
    draw: Callable[[], Drawn]
    absent: str = ""


def drawn(
    folder: Path,
    commit: Commit,
    drawings: list[Drawing],
    missing: dict[str, str],
    *,
    svg: bool = False,
) -> list[Picture]:
    """Draw and commit figures as PNG and, with ``svg``, as SVG, too.

    If a figure cannot be drawn, it is left out, and ``missing`` gets its title and the reason.
    For example, figures of images need the run's data set, which may no longer exist.

    Raises:
        IntegrityError: a file of the run itself is missing or was changed.
        StorageError: a figure cannot be written.
    """
    pictures = []
    for drawing in drawings:
        with leaving_out(partial(missing.__setitem__, drawing.title)):
            figure, caption = drawing.draw()
            path = f"figures/{drawing.name}.png"
            commit(path, partial(save_png, figure))
            if svg:
                commit(f"figures/{drawing.name}.svg", partial(save_svg, figure))
            png = (folder / path).read_bytes()
            pictures.append(Picture(drawing.title, caption, png, key=drawing.name))
    return pictures


def left_out(missing: dict[str, str]) -> list[Section]:
    """Return a section that lists the missing figures and why; no section if none is missing."""
    if not missing:
        return []
    return [Section("Left out", tables=[Table("", ("figure", "why"), [*missing.items()])])]
