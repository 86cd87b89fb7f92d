"""Which latents of a run a map is of."""

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
        labels: (N,), or None where the data set has none.
        index: row of each in the data set's training or test images, (N,).
        split: position of each one's split in `SPLITS`, (N,).
    """

    latents: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    index: NDArray[np.int64]
    split: NDArray[np.int8]


def latents_read(what: MapOptions) -> tuple[str, ...]:
    """Return the files of a run that `map_points` reads."""
    return tuple(latents_path(split) for split in _splits(what))


def points_text(what: MapOptions) -> str:
    """Return in words which latents a map is of."""
    return f"{what.on} latents" if what.on in SPLITS else "latents of all splits"


def map_points(folder: RunFolder, what: MapOptions, seed: int) -> MapPoints:
    """Return what a map is of: a split, all of them, or a draw of all.

    Args:
        folder: the run.
        what: ``on`` says which.
        seed: the run's; the draw is the same for every embedding.

    Raises:
        UserError: more points are asked for than there are.
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
    """Return ``count`` of ``n`` rows, in order, drawn by the seed.

    Raises:
        UserError: there are not so many.
    """
    if count > n:
        raise UserError(f"a map of {count:,} points was asked for and there are {n:,}")
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
