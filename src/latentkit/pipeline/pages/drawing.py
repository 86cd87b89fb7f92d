"""One figure of the report: what it is called, where it stands, how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from latentkit.errors import IntegrityError, LatentkitError
from latentkit.figures.style import save_png, save_svg
from latentkit.report.parts import Picture, Section, Table

STAGE = "report"

Drawn = tuple[Figure, str]
"""A figure and what is said below it."""

Commit = Callable[[str, Callable[[Path], None]], None]
"""Puts what its second argument writes in a place below the folder of the page."""


@dataclass(frozen=True)
class Drawing:
    """A figure that the report may have.

    Args:
        name: of its file, below ``figures/``.
        title: above it.
        draw: makes it.
    """

    name: str
    title: str
    draw: Callable[[], Drawn]


def drawn(
    folder: Path,
    commit: Commit,
    drawings: list[Drawing],
    missing: dict[str, str],
    *,
    svg: bool = False,
) -> list[Picture]:
    """Draw and commit figures, as PNG and if asked as SVG too.

    A run outlives its data set: what needs images that are gone is left out, and its title goes
    to ``missing`` with the reason.

    Raises:
        IntegrityError: a file of the run itself is gone or was changed.
    """
    pictures = []
    for drawing in drawings:
        try:
            figure, caption = drawing.draw()
        except IntegrityError:
            raise
        except LatentkitError as error:
            missing[drawing.title] = str(error)
            continue
        path = f"figures/{drawing.name}.png"
        commit(path, partial(save_png, figure))
        if svg:
            commit(f"figures/{drawing.name}.svg", partial(save_svg, figure))
        png = (folder / path).read_bytes()
        pictures.append(Picture(drawing.title, caption, png, key=drawing.name))
    return pictures


def left_out(missing: dict[str, str]) -> list[Section]:
    """Return the section that says what is not on the page and why; none where all is."""
    if not missing:
        return []
    return [Section("Left out", tables=[Table("", ("figure", "why"), [*missing.items()])])]
