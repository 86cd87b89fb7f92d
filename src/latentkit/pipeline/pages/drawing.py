"""One figure of the report: what it is called, where it stands, how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from latentkit.errors import LatentkitError
from latentkit.figures.style import save_png
from latentkit.pipeline.context import RunContext
from latentkit.report.parts import Picture

STAGE = "report"

Drawn = tuple[Figure, str]
"""A figure and what is said below it."""


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


def drawn(context: RunContext, drawings: list[Drawing], missing: dict[str, str]) -> list[Picture]:
    """Draw and commit figures; the titles of those that cannot be drawn go to ``missing``.

    A run outlives its data set: what needs images that are gone is left out, with the reason.
    """
    pictures = []
    for drawing in drawings:
        try:
            figure, caption = drawing.draw()
        except LatentkitError as error:
            missing[drawing.title] = str(error)
            continue
        path = f"figures/{drawing.name}.png"
        context.folder.commit(path, STAGE, partial(save_png, figure))
        png = (context.folder.path / path).read_bytes()
        pictures.append(Picture(drawing.title, caption, png, key=drawing.name))
    return pictures
