"""The exploration of a run that a report shows, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from latentkit.errors import IntegrityError, LatentkitError
from latentkit.exploration.arithmetic import Arithmetic, add_difference
from latentkit.exploration.nearest import TrainingNeighbours
from latentkit.exploration.paths import WAYS, Interpolation, interpolate
from latentkit.exploration.plane import ManifoldGrid, manifold_grid, plane_through
from latentkit.exploration.samples import Samples, mixture_samples
from latentkit.exploration.traversal import Traversals, traverse
from latentkit.pipeline.explored import ExploredRun

_DIMENSIONS = 16
_SAMPLES = 40
_ASKED = 6  # samples whose nearest training images are looked for
_NEAREST = 3
COMPONENTS = 10
NEIGHBOURS = 10
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Overview:
    """What a report shows of a latent space; a part that cannot be had is None or missing.

    Args:
        items: rows of the two test items that the parts speak of.
        traversals: from the first item, over the dimensions that carry most.
        grid: a decoded plane.
        interpolations: between the two items, one each way that there is.
        samples: from the prior, where there is one, and from a mixture.
        arithmetic: the first item, plus the second one's class minus its own.
        neighbours: the first of the last samples beside their nearest training images.
        left_out: why a part is missing, by its name.
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
    """Explore a run with its defaults, leaving out what it has no ground for.

    Raises:
        IntegrityError: a file of the run itself is gone or was changed.
    """
    left_out: dict[str, str] = {}

    def part(name: str, make: Callable[[], _Part]) -> _Part | None:
        try:
            return make()
        except IntegrityError:
            raise
        except LatentkitError as error:
            left_out[name] = str(error)
            return None

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
    """Return two test items to show: the first of each of two classes, else the first two."""
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
    """Go from one test item to another."""
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
    """Find the nearest training images of the first samples; latents are encoded if not known."""
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
