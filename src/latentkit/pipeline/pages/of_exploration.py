"""Figures of exploration: traversals, grids, interpolations, samples and neighbours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from latentkit.figures.style import shown
from latentkit.pipeline.context import RunContext
from latentkit.pipeline.exploration import overview
from latentkit.pipeline.exploration_figures import (
    TITLES,
    arithmetic_figure,
    grid_figure,
    interpolation_figure,
    neighbours_figure,
    samples_figure,
    traversal_figure,
)
from latentkit.pipeline.explored import ExploredRun
from latentkit.pipeline.pages.drawing import Drawing, Drawn


def exploration_figures(context: RunContext) -> list[Drawing]:
    """Return the figures that ``latentkit explore`` draws by default, if the run allows them."""
    run = ExploredRun(context, context.model)
    found = overview(run)
    a, b = found.items
    drawings = []
    if found.traversals is not None:
        draw = partial(traversal_figure, run, found.traversals, a)
        drawings.append(_drawing("traversal", TITLES["traversal"], draw))
    if found.grid is not None:
        draw = partial(grid_figure, run, found.grid)
        drawings.append(_drawing("grid", TITLES["grid"], draw))
    if found.interpolations:
        draw = partial(interpolation_figure, run, found.interpolations, found.items)
        drawings.append(_drawing("interpolation", TITLES["interpolate"], draw))
    if found.samples:
        draw = partial(samples_figure, run, found.samples)
        drawings.append(_drawing("samples", TITLES["samples"], draw))
    if found.arithmetic is not None:
        plus, minus = (shown(run.class_names, int(run.labels()[row])) for row in (b, a))
        draw = partial(arithmetic_figure, run, found.arithmetic, a, plus, minus)
        drawings.append(_drawing("arithmetic", TITLES["arithmetic"], draw))
    if found.neighbours is not None:
        names = [f"sample {number}" for number in range(len(found.neighbours.images))]
        draw = partial(neighbours_figure, run, found.neighbours, names)
        drawings.append(_drawing("neighbours", TITLES["neighbours"], draw))
    return drawings


def _drawing(name: str, title: str, draw: Callable[[], Figure]) -> Drawing:
    def drawn() -> Drawn:
        return draw(), ""  # these figures contain their caption

    return Drawing(f"explored-{name}", title, drawn)
