"""The latent space of a run as arrays: traversals, interpolations, samples, neighbours.

Example:
    >>> import latentkit as lk
    >>> run = lk.open("last")
    >>> lk.explore.traversals(run).images.shape  # a row of 9 images for each of 3 dimensions
    (3, 9, 1, 8, 8)
    >>> lk.explore.interpolate(run, 0, "class:7", way="graph").images.shape
    (10, 1, 8, 8)

An item is a test image: its number, ``class:NAME`` for the first image of a class, or
``class:NAME:i`` for image i of that class, counted from 0. Every function returns a frozen
dataclass of arrays, and its documentation gives shapes and units. ``latentkit explore`` draws the
same results as figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from latentkit.api.explorer import page
from latentkit.api.run_handle import Run
from latentkit.errors import UserError
from latentkit.explore.compare_models import Settings, compare_settings, settings_names
from latentkit.explore.explored_run import Source, class_label
from latentkit.explore.overview import COMPONENTS, NEIGHBOURS, Overview, between, sample_neighbours
from latentkit.explore.overview import overview as explore_all
from latentkit.explore.samples import (
    Arithmetic,
    Nearest,
    Samples,
    TrainingNeighbours,
    add_difference,
)
from latentkit.explore.traversals import (
    Interpolation,
    ManifoldGrid,
    Plane,
    Traversals,
    manifold_grid,
    plane_through,
    traverse,
)

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
        dimensions: the two dimensions that span the plane; all others stay at their mean. By
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
    return between(explored, *rows, way, steps, n_neighbors)


__all__ = [
    "Arithmetic",
    "Interpolation",
    "ManifoldGrid",
    "Nearest",
    "Overview",
    "Plane",
    "Samples",
    "Settings",
    "TrainingNeighbours",
    "Traversals",
    "arithmetic",
    "grid",
    "interpolate",
    "neighbours",
    "overview",
    "page",
    "samples",
    "settings",
    "traversals",
]


def samples(
    run: Run,
    n: int = 40,
    *,
    source: Source | None = None,
    components: int = COMPONENTS,
    seed: int | None = None,
) -> Samples:
    """Draw new images from the prior or from a Gaussian mixture.

    Args:
        run: the run whose model decodes the samples.
        n: number of images.
        source: the model's ``prior``, or a Gaussian ``mixture`` fitted to the training latents
            (to a random 10,000, if there are more). By default the prior, if the model has one.
        components: number of components of the mixture.
        seed: seed of the fit and the draws, 0 to 2**31 - 1; by default derived from the run's.

    Returns:
        Images (n, C, H, W) in [0, 1]; for a mixture also latents (n, D) and log densities in nats.

    Raises:
        latentkit.errors.UserError: ``n`` is below 1, the model has no prior, or the run is a
            transfer.

    Example:
        >>> import latentkit as lk
        >>> drawn = lk.explore.samples(lk.open("last"), 6, source="mixture", seed=1)
        >>> drawn.images.shape, drawn.latents.shape
        ((6, 1, 8, 8), (6, 3))
    """
    return run.explored.samples(n, source, components, seed)


def arithmetic(
    run: Run,
    item: Item,
    *,
    plus: str,
    minus: str,
    amounts: Sequence[float] = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5),
) -> Arithmetic:
    """Add the mean latent of one class minus that of another to a test item.

    Args:
        run: a run with labels.
        item: the item whose latent is changed.
        plus: name of the class whose mean is added.
        minus: name of the class whose mean is subtracted.
        amounts: factor of the difference, one for each image.

    Returns:
        Latents (S, D) and images (S, C, H, W) in [0, 1] for S amounts, and the difference (D,).

    Raises:
        latentkit.errors.UserError: there is no such item or class, or the data has no labels.

    Example:
        >>> import latentkit as lk
        >>> more = lk.explore.arithmetic(lk.open("last"), 0, plus="8", minus="0", amounts=(0, 1))
        >>> more.images.shape, more.difference.shape
        ((2, 1, 8, 8), (3,))
    """
    explored = run.explored
    labels = explored.labels("train")
    return add_difference(
        explored.decode,
        explored.latents()[explored.row(item)],
        explored.latents("train"),
        labels,
        class_label(plus, explored.class_names),
        class_label(minus, explored.class_names),
        amounts,
    )


def neighbours(run: Run, items: Sequence[Item] | Samples, *, k: int = 5) -> TrainingNeighbours:
    """Find the nearest training images of test items or samples, in latents and in pixels.

    The ratio of an item's nearest distance to the typical nearest distance of test items shows
    copies: a ratio far below 1 is a copy. Decoded images are smooth, so the typical distance for
    samples comes from reconstructions of test items instead of the test images.

    Args:
        run: a run whose data set is still available.
        items: test items, or the result of `samples`.
        k: number of training images for each item.

    Returns:
        For M items, the nearest training images (M, k) by latents and by pixels in [0, 1], with
        distances and images.

    Raises:
        latentkit.errors.UserError: no item is given, or one does not exist.
        latentkit.errors.LatentkitError: the data set is not available.

    Example:
        >>> import latentkit as lk
        >>> run = lk.open("last")
        >>> found = lk.explore.neighbours(run, ["class:1", 5], k=3)
        >>> found.in_pixels.rows.shape, found.pixel_images.shape
        ((2, 3), (2, 3, 1, 8, 8))
        >>> drawn = lk.explore.neighbours(run, lk.explore.samples(run, 4), k=1)
        >>> drawn.in_latents.ratios.shape  # a ratio far below 1 is a copy
        (4,)
    """
    explored = run.explored
    if isinstance(items, Samples):
        return sample_neighbours(explored, items, len(items.images), k)
    rows = np.array([explored.row(item) for item in items], np.int64)
    if not len(rows):
        raise UserError("no item is given: name test items, or pass the result of samples")
    return explored.neighbours(explored.images(rows), explored.latents()[rows], k, decoded=False)


def settings(runs: Sequence[Run], items: Sequence[Item] = (0,)) -> Settings:
    """Reconstruct test items with several runs, e.g. of other epochs or latent dimensions.

    Each run is shown with its trained weights. To compare reconstructions over epochs, train runs
    of one, two, five ... epochs. Models are named by the options in which the runs differ.

    Args:
        runs: runs in the order of display; the images are those of the first run.
        items: test items of the first run.

    Returns:
        For M runs and N items, the reconstructions (M, N, C, H, W) in [0, 1] and their mean
        squared errors (M, N) per pixel.

    Raises:
        latentkit.errors.UserError: there is no run or item, or image shapes differ between runs.

    Example:
        >>> import latentkit as lk
        >>> shown = lk.explore.settings(lk.list_runs(), items=(0, "class:7"))
        >>> shown.images.shape, shown.errors.shape
        ((1, 2, 1, 8, 8), (1, 2))
    """
    if not runs or not items:
        raise UserError("no run or no item is given: give at least one of each")
    explored = [run.explored for run in runs]
    names = settings_names(explored)
    first = explored[0]
    originals = first.images(np.array([first.row(item) for item in items], np.int64))
    pairs = [(one.encode, one.decode) for one in explored]
    return compare_settings(dict(zip(names, pairs, strict=True)), originals)


def overview(run: Run) -> Overview:
    """Explore a run with the default settings of its report.

    Args:
        run: the run to explore.

    Returns:
        Traversals, a plane, interpolations, samples, arithmetic and neighbours. A part that is not
        possible is None or missing, and ``left_out`` says why.

    Raises:
        latentkit.errors.IntegrityError: a file of the run is missing or was changed.

    Example:
        >>> import latentkit as lk
        >>> shown = lk.explore.overview(lk.open("last"))
        >>> [one.way for one in shown.interpolations]
        ['linear', 'spherical', 'graph']
        >>> dict(shown.left_out)
        {'prior samples': "model 'conv-ae' has no prior to draw from: ..."}
    """
    return explore_all(run.explored)
