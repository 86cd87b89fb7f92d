"""Paths through a run's latents: along a dimension, over a plane, between two items."""

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
    """Vary one latent dimension at a time, in sigmas of the training latents.

    Args:
        run: the run whose latents to traverse.
        item: the item whose latent fixes the other dimensions; by default the mean of the
            training latents.
        steps: number of images per dimension.
        reach: largest distance from the mean, in sigmas (standard deviations).
        dimensions: the dimensions to vary; by default all, sorted by KL divergence from the
            prior, or by variance if the model has no prior.
        most: maximum number of dimensions.

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
    """Decode a plane of latents on a grid over the middle 98 % of the test latents on each axis.

    Args:
        run: the run whose latents to decode.
        dimensions: the two dimensions that span the plane; the others are at their mean. By
            default both dimensions if there are only two, else the two leading principal
            directions.
        steps: number of rows and of columns.

    Returns:
        Images (steps, steps, C, H, W) in [0, 1], and the positions of the images and of the test
        latents on the plane, in latent units.

    Raises:
        latentkit.errors.UserError: a dimension does not exist, or the run is a transfer.

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
    """Interpolate between the latents of two test items, in even steps.

    Args:
        run: the run whose latents to use.
        a: the first item.
        b: the last item.
        way: ``linear``; ``spherical``, around the prior's mean, or around the mean of the training
            latents if the model has no prior; or ``graph``, the shortest path in the
            nearest-neighbour graph of the training latents (of a random 10,000, if there are
            more).
        steps: number of images, including both ends.
        n_neighbors: neighbours of each latent in the graph; doubled, up to 160, until there is a
            path.

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
