"""Walks through the latents of a run: along a dimension, over a plane, between two items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from latentkit.api.handle import Run
from latentkit.exploration.paths import Interpolation
from latentkit.exploration.plane import ManifoldGrid, manifold_grid, plane_through
from latentkit.exploration.traversal import Traversals, traverse
from latentkit.pipeline import exploration
from latentkit.pipeline.exploration import NEIGHBOURS

Item = int | str
Way = Literal["linear", "spherical", "graph"]


def traversals(
    run: Run,
    item: Item | None = None,
    *,
    steps: int = 9,
    reach: float = 3.0,
    dimensions: Sequence[int] | None = None,
    most: int | None = None,
) -> Traversals:
    """Change one latent dimension after the other, in sigmas of the training latents.

    Args:
        run: a run.
        item: whose latent the walks pass by; the mean of the training latents where None.
        steps: images a dimension.
        reach: the farthest, in sigmas.
        dimensions: which ones; where None all, by KL from the prior, or by variance where the
            model has none.
        most: show no more than so many of them.

    Returns:
        Latents (M, S, D) and images (M, S, C, H, W) in [0, 1] for M dimensions and S steps.

    Raises:
        latentkit.errors.UserError: there is no such item or dimension, or the run is a transfer.

    Example:
        >>> import latentkit as lk
        >>> walks = lk.explore.traversals(lk.open("last"), item="class:3", steps=5, most=2)
        >>> walks.images.shape
        (2, 5, 1, 8, 8)
        >>> walks.sigmas
        array([-3. , -1.5,  0. ,  1.5,  3. ])
    """
    explored = run.explored
    start = explored.scale.mean if item is None else explored.latents()[explored.row(item)]
    chosen = explored.scale.order.tolist() if dimensions is None else list(dimensions)
    return traverse(
        explored.decode,
        start,
        explored.scale,
        steps=steps,
        reach=reach,
        dimensions=chosen[:most],
    )


def grid(run: Run, dimensions: tuple[int, int] | None = None, *, steps: int = 16) -> ManifoldGrid:
    """Decode a plane of latents on a grid, where 98 % of the test latents are on each axis.

    Args:
        run: a run.
        dimensions: the two that span the plane, the others at their mean. Where None, the latents
            themselves where they are two, else the plane of the leading principal directions.
        steps: rows, and columns.

    Returns:
        Images (steps, steps, C, H, W) in [0, 1], and where they and the test latents are on the
        plane, in latent units.

    Raises:
        latentkit.errors.UserError: a dimension is not there, or the run is a transfer.

    Example:
        >>> import latentkit as lk
        >>> plane = lk.explore.grid(lk.open("last"), dimensions=(0, 1), steps=4)
        >>> plane.images.shape, plane.points.shape
        ((4, 4, 1, 8, 8), (360, 2))
    """
    explored = run.explored
    plane = plane_through(explored.latents("train"), dimensions)
    return manifold_grid(explored.decode, plane, explored.latents(), steps=steps)


def interpolate(
    run: Run,
    a: Item,
    b: Item,
    *,
    way: Way = "linear",
    steps: int = 10,
    n_neighbors: int = NEIGHBOURS,
) -> Interpolation:
    """Go from the latent of one test item to that of another, in even steps.

    Args:
        run: a run.
        a: where it begins.
        b: where it ends.
        way: ``linear``; ``spherical``, around the prior's mean, or that of the training latents
            where there is no prior; or ``graph``, the shortest way over the nearest-neighbour
            graph of training latents (of 10,000 drawn ones, where there are more).
        steps: images, both ends included.
        n_neighbors: of each latent in the graph; doubled, up to 160, until there is a way.

    Returns:
        Latents (steps, D), images (steps, C, H, W) in [0, 1], and the length in latent units.

    Raises:
        latentkit.errors.UserError: there is no such item or way, or the run is a transfer.

    Example:
        >>> import latentkit as lk
        >>> run = lk.open("last")
        >>> straight = lk.explore.interpolate(run, 0, "class:7")
        >>> straight.positions[[0, -1]], straight.images.shape
        (array([0., 1.]), (10, 1, 8, 8))
        >>> lk.explore.interpolate(run, 0, "class:7", way="graph").length >= straight.length
        True
    """
    explored = run.explored
    rows = explored.row(a), explored.row(b)
    return exploration.between(explored, *rows, way, steps, n_neighbors)
