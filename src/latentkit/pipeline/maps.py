"""One map: fit the embedding, align it to another map, and measure its quality."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig, find_part
from latentkit.errors import PluginError, UserError
from latentkit.evaluation.alignment import align
from latentkit.evaluation.map_quality import map_quality
from latentkit.pipeline.context import DATA, SPLITS, RunContext, map_paths
from latentkit.pipeline.fitting import fit_embedding
from latentkit.pipeline.points import draw_rows, map_points
from latentkit.plugin.events import Listener
from latentkit.plugin.seeds import short_stream_seed, stream_seed
from latentkit.registry.catalogue import Registry
from latentkit.registry.targets import fault_of
from latentkit.runs.folder import RunFolder, find_run

RUNS = "runs"
_FEWEST_COMMON = 3  # points that two maps must share


@dataclass(frozen=True)
class Reference:
    """A map that another map is aligned to.

    Args:
        name: name of the map in the aligned map's record.
        coordinates: (M, n_components).
        keys: (M,), identifies the image of each point: equal keys mean the same image.
    """

    name: str
    coordinates: NDArray[np.float64]
    keys: NDArray[np.int64]


@dataclass(frozen=True)
class MadeMap:
    """A map and its record.

    Args:
        arrays: ``coordinates`` (N, n_components), and ``trustworthiness`` (N,) of each point.
        document: the record: options, seconds, facts and quality, as JSON.
    """

    arrays: dict[str, NDArray[Any]]
    document: dict[str, Any]


def make_map(
    registry: Registry,
    part: MapConfig,
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    *,
    seed: int,
    tell: Listener,
    threads: int,
    keys: NDArray[np.int64] | None = None,
    reference: Reference | None = None,
) -> MadeMap:
    """Fit an embedding to vectors (N, D), and measure the map's quality.

    Args:
        registry: where the embedding is looked up.
        part: the embedding and its options.
        vectors: (N, D), the points to map.
        labels: (N,), for the k-NN accuracy; None if the points have no labels.
        seed: the run's seed.
        tell: receives progress events.
        threads: number of threads for the quality measurement.
        keys: (N,), identifies the image of each vector; required with ``reference``.
        reference: map that this one is aligned to; None for no alignment.

    Raises:
        LatentkitError: as `fit_embedding`; a `UserError` if the reference shares too few
            points, or has another number of dimensions.
    """
    random_state = short_stream_seed(seed, "embedding", part.name)
    started = time.perf_counter()
    build = find_part(registry, "embedding", part).target()
    with fault_of(f"embedding {part.name!r} cannot be built"):
        estimator = build(part.options, random_state)
    if isinstance(estimator, type):
        raise PluginError(
            f"embedding {part.name!r} builds the class {estimator.__name__}, expected an estimator"
        )
    coordinates, facts = fit_embedding(
        estimator, part.name, vectors, stage=f"embed:{part.slug}", tell=tell
    )
    aligned = None
    if reference is not None and keys is not None:
        coordinates, aligned = _laid_over(coordinates, keys, reference, part)
    fitted = time.perf_counter()
    quality = map_quality(
        vectors,
        coordinates,
        labels,
        seed=stream_seed(seed, "map-quality"),
        threads=threads,
    )
    document = {
        "map": part.label,
        "embedding": part.name,
        "options": part.as_dict(),
        "n_points": len(coordinates),
        "random_state": random_state,
        "seconds": fitted - started,
        "quality_seconds": time.perf_counter() - fitted,
        "facts": facts,
        "aligned_to": aligned,
        "quality": quality.as_dict(),
    }
    arrays: dict[str, NDArray[Any]] = {"coordinates": coordinates}
    arrays["trustworthiness"] = quality.point_trustworthiness
    return MadeMap(arrays, document)


def embed(context: RunContext, part: MapConfig) -> None:
    """Make one of a run's maps: the work of the stage ``embed:<map>``."""
    points = map_points(context.folder, part.map, context.seed)
    made = make_map(
        context.registry,
        part,
        points.latents,
        points.labels,
        seed=context.seed,
        tell=context.tell,
        threads=context.config.run.threads,
        keys=_keys(points.index, points.split),
        reference=_reference(context.folder, part) if part.map.align_to else None,
    )
    stage = f"embed:{part.slug}"
    arrays_path, facts_path = map_paths(part)
    arrays = {**made.arrays, "index": points.index, "split": points.split}
    context.folder.commit_arrays(arrays_path, stage, **arrays)
    context.folder.commit_json(facts_path, stage, made.document)


def check_maps(
    parts: Sequence[MapConfig], counts: Mapping[str, int], folder: RunFolder | None
) -> None:
    """Check before any work starts that the maps' points and reference maps exist.

    Args:
        parts: all maps of a run, in the order in which they are made.
        counts: number of images of each split.
        folder: the run's folder, or None if it does not exist yet.

    Raises:
        UserError: a map needs more points than there are, or its reference map does not exist.
    """
    made: set[str] = set()
    for part in parts:
        if isinstance(part.map.on, int):
            draw_rows(sum(counts[split] for split in SPLITS), part.map.on, seed=0)
        run, label = _referred(part)
        if part.map.align_to and run and folder is not None:
            _reference(folder, part)
        elif part.map.align_to and not run and label not in made:
            there = ", ".join(sorted(made)) or "none"
            raise UserError(
                f"{part.label}: there is no map {label!r} to align it to (maps made before it: "
                f"{there}): add that map first"
            )
        made.add(part.label)


def reads_of_same_run(part: MapConfig) -> tuple[str, ...]:
    """Return the file of the reference map, if that map belongs to the same run."""
    run, label = _referred(part)
    return (_coordinates_path(label),) if part.map.align_to and not run else ()


def _referred(part: MapConfig) -> tuple[str, str]:
    """Return the run (empty for the same one) and the map that ``align_to`` names."""
    run, _, label = (
        part.map.align_to.rpartition("#")
        if "#" in part.map.align_to
        else (
            part.map.align_to,
            "",
            part.label,
        )
    )
    return run, label


def _coordinates_path(label: str) -> str:
    return f"embeddings/{label.replace(':', '.')}.npz"


def _reference(folder: RunFolder, part: MapConfig) -> Reference:
    run, label = _referred(part)
    other = RunFolder.open(find_run(run, Path(RUNS))) if run else folder
    path = _coordinates_path(label)
    if path not in other.manifest.artefacts:
        raise UserError(
            f"{part.label}: run {other.manifest.id} has no map {label!r} to align it to"
        )
    for split in ("train", "test"):
        if other.json(DATA)["digest"][split] != folder.json(DATA)["digest"][split]:
            raise UserError(
                f"{part.label} cannot be aligned to a map of run {other.manifest.id}, which has "
                f"other images: choose a run on the same data set"
            )
    arrays = other.arrays(path)
    keys = _keys(arrays["index"], arrays["split"])
    return Reference(f"{other.manifest.id}#{label}", arrays["coordinates"], keys)


def _keys(index: NDArray[np.int64], split: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return a unique number for each image, from its row and its file (training or test)."""
    keys: NDArray[np.int64] = 2 * index.astype(np.int64) + (split == 2)
    return keys


def _laid_over(
    coordinates: NDArray[np.float64],
    keys: NDArray[np.int64],
    reference: Reference,
    part: MapConfig,
) -> tuple[NDArray[np.float64], Mapping[str, Any]]:
    _, here, there = np.intersect1d(keys, reference.keys, return_indices=True)
    if len(here) < _FEWEST_COMMON:
        raise UserError(
            f"{part.label} cannot be aligned to {reference.name}: the maps share {len(here)} "
            f"points, and at least {_FEWEST_COMMON} are needed"
        )
    try:
        found = align(coordinates[here], reference.coordinates[there])
    except ValueError as error:
        raise UserError(f"{part.label} cannot be aligned to {reference.name}: {error}") from error
    facts = {"map": reference.name, "n_points": len(here), "disparity": found.disparity}
    return found(coordinates), facts
