"""Selection of the latents that a map shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapOptions
from latentkit.errors import UserError
from latentkit.pipeline.context import SPLITS, latents_path
from latentkit.plugin.seeds import stream_seed
from latentkit.runs.folder import RunFolder


@dataclass(frozen=True)
class MapPoints:
    """Latents in the order of a map's coordinates.

    Args:
        latents: (N, latent_dim).
        labels: (N,), or None if the data set has no labels.
        index: (N,), row of each latent's image in the training or test images.
        split: (N,), position of each latent's split in `SPLITS`.
    """

    latents: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    index: NDArray[np.int64]
    split: NDArray[np.int8]


def latents_read(what: MapOptions) -> tuple[str, ...]:
    """Return the files of a run that `map_points` reads."""
    return tuple(latents_path(split) for split in _splits(what))


def points_text(what: MapOptions) -> str:
    """Describe in words which latents a map shows."""
    return f"{what.on} latents" if what.on in SPLITS else "latents of all splits"


def map_points(folder: RunFolder, what: MapOptions, seed: int) -> MapPoints:
    """Return the latents that a map shows: one split, all splits, or a random draw from all.

    Args:
        folder: the run's folder.
        what: the map's options; ``on`` selects the latents.
        seed: the run's seed; the draw is the same for every embedding.

    Raises:
        UserError: more points are requested than there are.
    """
    names = _splits(what)
    parts = [folder.arrays(latents_path(name)) for name in names]
    split = [
        np.full(len(arrays["index"]), SPLITS.index(name), np.int8)
        for name, arrays in zip(names, parts, strict=True)
    ]
    labelled = all("labels" in arrays for arrays in parts)
    points = MapPoints(
        latents=_joined(parts, "latents"),
        labels=_joined(parts, "labels") if labelled else None,
        index=_joined(parts, "index"),
        split=np.concatenate(split),
    )
    if isinstance(what.on, str):
        return points
    return _rows(points, draw_rows(len(points.latents), what.on, seed))


def draw_rows(n: int, count: int, seed: int) -> NDArray[np.int64]:
    """Draw ``count`` of ``n`` rows at random, and return them in ascending order.

    Raises:
        UserError: ``count`` is greater than ``n``.
    """
    if count > n:
        raise UserError(f"a map of {count:,} points is not possible: there are only {n:,} points")
    generator = np.random.default_rng(stream_seed(seed, "map-points"))
    return np.sort(generator.choice(n, count, replace=False))


def _splits(what: MapOptions) -> tuple[str, ...]:
    return (what.on,) if what.on in SPLITS else SPLITS


def _joined(parts: list[dict[str, NDArray[Any]]], name: str) -> NDArray[Any]:
    return np.concatenate([arrays[name] for arrays in parts])


def _rows(points: MapPoints, rows: NDArray[np.int64]) -> MapPoints:
    return MapPoints(
        points.latents[rows],
        None if points.labels is None else points.labels[rows],
        points.index[rows],
        points.split[rows],
    )
