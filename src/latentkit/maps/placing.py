"""New points in a map that exists: the map is fitted again, and must be the run's map."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.errors import PluginError, UserError
from latentkit.maps.alignment import Alignment, Coordinates, align
from latentkit.maps.fitting import fit_embedding
from latentkit.maps.make import map_points
from latentkit.plugin.events import Listener, StageFinished, StageStarted
from latentkit.plugin.seeds import short_stream_seed
from latentkit.registry.options import fault_of
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder
from latentkit.training.device import peak_rss_bytes

_MOST_DISPARITY = 1e-6
"""Squared distance between a map and its repetition, as a share of the map's own spread.

Rounding on another machine gives about 1e-12, and another optimisation gives 1e-3 or more.
"""


@dataclass(frozen=True)
class FittedMap:
    """A run's map that can place new points.

    Args:
        name: the map's name.
        estimator: the embedding, fitted to the map's points.
        alignment: from the estimator's coordinates to those of the run.
        dimensions: number of coordinates.
    """

    name: str
    estimator: Any
    alignment: Alignment
    dimensions: int

    def place(self, latents: NDArray[np.float32]) -> Coordinates:
        """Return the coordinates (N, 2 or 3) of latents (N, D).

        Raises:
            PluginError: the embedding fails, or gives something other than finite coordinates.
        """
        with fault_of(f"embedding {self.name!r} failed to place {len(latents):,} new points"):
            placed = np.asarray(self.estimator.transform(latents), dtype=np.float64)
        if placed.shape != (len(latents), self.dimensions) or not np.isfinite(placed).all():
            raise PluginError(
                f"embedding {self.name!r} gave coordinates {placed.shape} for {len(latents):,} new "
                f"points, expected {self.dimensions} finite numbers per point"
            )
        return self.alignment(placed)


def fitted_map(folder: RunFolder, part: MapConfig, seed: int, emit: Listener) -> FittedMap:
    """Fit a run's map again, with its own seed, so that it can place new points.

    A map is stored as coordinates, because a fitted estimator could only be stored as a pickle.

    Args:
        folder: the run's folder.
        part: the map.
        seed: the run's seed.
        emit: receives the estimate of memory and time, and progress.

    Raises:
        UserError: the embedding cannot place new points, or the repetition differs from the
            run's map.
        LatentkitError: as `fit_embedding`.
    """
    estimator = part.build(short_stream_seed(seed, "embedding", part.name))
    if not hasattr(estimator, "transform"):
        raise UserError(f"embedding {part.name!r} cannot place new points")
    points = map_points(folder, part.map, seed)
    stage, started = f"fit:{part.slug}", time.perf_counter()
    emit(StageStarted(stage))
    again, _ = fit_embedding(
        estimator, part.name, points.latents, points.labels, stage=stage, emit=emit
    )
    emit(StageFinished(stage, time.perf_counter() - started, peak_rss_bytes()))
    known: Coordinates = folder.arrays(run_files.map_paths(part)[0])["coordinates"]
    try:
        alignment = align(again, known)
    except ValueError as error:
        raise UserError(f"it cannot be compared with the run's map: {error}") from error
    if np.array_equal(again, known):
        # An alignment would only add rounding errors.
        alignment = Alignment(np.eye(known.shape[1]), 1.0, np.zeros(known.shape[1]), 0.0)
    if alignment.disparity > _MOST_DISPARITY:
        raise UserError(
            f"fitted again, it differs from the run's map (disparity {alignment.disparity:.1e}), "
            f"which was made with other versions or on another machine"
        )
    return FittedMap(part.label, estimator, alignment, known.shape[1])
