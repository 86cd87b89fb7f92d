"""Maps of vectors or images given directly, without a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.data.vectors import Vectors
from latentkit.figures.maps import map_scatter
from latentkit.figures.style import save_png
from latentkit.pipeline.environment import package_versions, peak_rss_bytes
from latentkit.pipeline.maps import make_map
from latentkit.pipeline.stages import warnings_told
from latentkit.pipeline.summary import quality_line
from latentkit.plugin.events import Listener, RunPreparing, StageFinished, StageStarted
from latentkit.registry.catalogue import Registry
from latentkit.runs.commit import write_atomically, write_json
from latentkit.runs.folder import new_folder
from latentkit.training.device import resolve_threads


@dataclass(frozen=True)
class VectorMaps:
    """The maps of some vectors, and the folder that holds them.

    Args:
        path: the folder, with ``<map>.npz``, ``<map>.json`` and ``<map>.png`` for each map.
        documents: the content of each ``<map>.json``, by name.
        arrays: the content of each ``<map>.npz``, by name.
    """

    path: Path
    documents: dict[str, dict[str, Any]]
    arrays: dict[str, dict[str, NDArray[Any]]]

    def coordinates(self, name: str) -> NDArray[np.float64]:
        """Return the coordinates (N, 2 or 3) of a map, in the order of the vectors."""
        return self.arrays[name]["coordinates"]


def map_vectors(
    vectors: Vectors,
    parts: Sequence[MapConfig],
    *,
    name: str,
    out: Path,
    registry: Registry,
    seed: int,
    tell: Listener,
) -> VectorMaps:
    """Make maps one after the other, and write each one as soon as it is done.

    Args:
        vectors: the points; all of them are mapped.
        parts: the embeddings.
        name: name of the vectors in the folder's name and on figures.
        out: the folder in which a new folder for the maps is made.
        registry: where the embeddings are looked up.
        seed: seed of everything random.
        tell: receives progress events.

    Raises:
        LatentkitError: a map cannot be made; maps that were already made are kept.
    """
    tell(RunPreparing(tuple(_stage(part) for part in parts)))
    maps = VectorMaps(new_folder(out, name), {}, {})
    for part in parts:
        tell(StageStarted(_stage(part)))
        started = time.perf_counter()
        with warnings_told(tell):
            made = make_map(
                registry,
                part,
                vectors.values,
                vectors.labels,
                seed=seed,
                tell=tell,
                threads=resolve_threads(0),
            )
        document = {
            **made.document,
            "source": dict(vectors.source),
            "seed": seed,
            "versions": package_versions(),
        }
        _commit(maps.path, part, vectors, replace(made, document=document), name)
        maps.documents[part.label], maps.arrays[part.label] = document, made.arrays
        tell(StageFinished(_stage(part), time.perf_counter() - started, peak_rss_bytes()))
    return maps


def mapped(document: Mapping[str, Any]) -> str:
    """Return what a map's points are, pixels or vectors, from the map's record."""
    return "pixels" if "images" in document["source"] else "vectors"


def _stage(part: MapConfig) -> str:
    return f"embed:{part.slug}"


def _commit(folder: Path, part: MapConfig, vectors: Vectors, made: Any, name: str) -> None:
    arrays, document = made.arrays, made.document
    write_atomically(folder / f"{part.slug}.npz", lambda path: _save_arrays(path, arrays))
    n, d = vectors.values.shape
    figure = map_scatter(
        arrays["coordinates"],
        vectors.labels,
        vectors.class_names,
        f"{part.name} of {n:,} vectors of {d:,} dimensions ({name})",
        quality_line(document["quality"], mapped(document)),
        part.name,
    )
    write_atomically(folder / f"{part.slug}.png", lambda path: save_png(figure, path))
    write_json(folder / f"{part.slug}.json", document)


def _save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
