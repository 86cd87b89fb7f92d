"""Default exploration of a run's latent space, as shown in its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from latentkit.errors import leaving_out
from latentkit.explore.explored_run import ExploredRun
from latentkit.explore.samples import (
    Arithmetic,
    Samples,
    TrainingNeighbours,
    add_difference,
    mixture_samples,
)
from latentkit.explore.traversals import (
    WAYS,
    Interpolation,
    ManifoldGrid,
    Traversals,
    interpolate,
    manifold_grid,
    plane_through,
    traverse,
)

_DIMENSIONS = 16
_SAMPLES = 40
_ASKED = 6  # samples whose nearest training images are shown
_NEAREST = 3
COMPONENTS = 10
NEIGHBOURS = 10
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Overview:
    """Views of a latent space for a report; a view that cannot be made is None or missing.

    Args:
        items: rows of the two test items that the views show.
        traversals: from the first item, over the dimensions with the greatest weight.
        grid: a decoded plane.
        interpolations: between the two items, one for each kind of path.
        samples: from the prior, if the model has one, and from a mixture.
        arithmetic: the first item, plus the second item's class, minus its own class.
        neighbours: the first few of the last samples, with their nearest training images.
        left_out: the reason for each missing view, by its name.
    """

    items: tuple[int, int]
    traversals: Traversals | None
    grid: ManifoldGrid | None
    interpolations: tuple[Interpolation, ...]
    samples: tuple[Samples, ...]
    arithmetic: Arithmetic | None
    neighbours: TrainingNeighbours | None
    left_out: Mapping[str, str]


def overview(run: ExploredRun) -> Overview:
    """Explore a run with default options, and leave out views that it does not support.

    Raises:
        IntegrityError: a file of the run itself is missing or was changed.
    """
    left_out: dict[str, str] = {}

    def part(name: str, make: Callable[[], _Part]) -> _Part | None:
        found: list[_Part] = []
        with leaving_out(partial(left_out.__setitem__, name)):
            found.append(make())
        return found[0] if found else None

    a, b = default_items(run)
    start = run.latents()[a]
    drawn = [
        part("prior samples", lambda: run.prior_samples(_SAMPLES)),
        part("mixture samples", lambda: _mixture(run)),
    ]
    samples = tuple(found for found in drawn if found is not None)
    walks = (part(f"{way} interpolation", partial(between, run, a, b, way)) for way in WAYS)
    return Overview(
        items=(a, b),
        traversals=part(
            "traversals",
            lambda: traverse(
                run.decode, start, run.scale, dimensions=list(run.scale.order[:_DIMENSIONS])
            ),
        ),
        grid=part(
            "grid",
            lambda: manifold_grid(run.decode, plane_through(run.latents("train")), run.latents()),
        ),
        interpolations=tuple(walk for walk in walks if walk is not None),
        samples=samples,
        arithmetic=part("arithmetic", lambda: _arithmetic(run, a, b)),
        neighbours=part("neighbours", lambda: sample_neighbours(run, samples[-1], _ASKED)),
        left_out=left_out,
    )


def default_items(run: ExploredRun) -> tuple[int, int]:
    """Return two test items to show: the first of each of two classes, or else the first two."""
    count = len(run.latents())
    if run.labelled:
        labels = run.labels()
        others = np.flatnonzero(labels != labels[0])
        if len(others):
            return 0, int(others[0])
    return 0, min(1, count - 1)


def between(
    run: ExploredRun,
    a: int,
    b: int,
    way: str,
    steps: int = 10,
    n_neighbors: int = NEIGHBOURS,
) -> Interpolation:
    """Interpolate between two test items, given by their rows.

    Args:
        run: whose latents and decoder are used.
        a: row of the first item.
        b: row of the last item.
        way: kind of path, one of `WAYS`.
        steps: number of images, including both ends.
        n_neighbors: number of neighbours of each latent in the graph; only for ``graph``.
    """
    return interpolate(
        run.decode,
        run.latents()[a],
        run.latents()[b],
        way=way,
        steps=steps,
        centre=run.centre,
        latents=run.drawn_latents if way == "graph" else None,
        n_neighbors=n_neighbors,
    )


def sample_neighbours(
    run: ExploredRun, samples: Samples, count: int, k: int = _NEAREST
) -> TrainingNeighbours:
    """Find the nearest training images of the first samples, encoding them if necessary."""
    images = samples.images[:count]
    latents = run.encode(images) if samples.latents is None else samples.latents[:count]
    return run.neighbours(images, latents, min(k, len(run.latents("train"))), decoded=True)


def _mixture(run: ExploredRun) -> Samples:
    latents = run.drawn_latents
    components = min(COMPONENTS, len(latents))
    return mixture_samples(run.decode, latents, _SAMPLES, components=components, seed=run.seed)


def _arithmetic(run: ExploredRun, a: int, b: int) -> Arithmetic:
    labels = run.labels()
    return add_difference(
        run.decode,
        run.latents()[a],
        run.latents("train"),
        run.labels("train"),
        plus=int(labels[b]),
        minus=int(labels[a]),
    )
