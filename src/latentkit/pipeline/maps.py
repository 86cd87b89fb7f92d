"""One map: fit the embedding, lay it over another one, measure how far it can be trusted."""

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
    """A map that another one is laid over.

    Args:
        name: what the record calls it.
        coordinates: (M, n_components).
        keys: which point each is, (M,): equal keys are the same image.
    """

    name: str
    coordinates: NDArray[np.float64]
    keys: NDArray[np.int64]


@dataclass(frozen=True)
class MadeMap:
    """A map and its record.

    Args:
        arrays: ``coordinates`` (N, n_components), and ``trustworthiness`` (N,) of each point.
        document: options, seconds, facts and quality, as JSON.
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
    """Fit an embedding to vectors (N, D), and measure it.

    Args:
        registry: where the embedding is.
        part: which, with its options.
        vectors: what is mapped.
        labels: (N,), for the neighbours' accuracy.
        seed: the run's.
        tell: hears of progress.
        threads: of the measurement.
        keys: which point each vector is, (N,); needed with ``reference``.
        reference: is what the map is laid over.

    Raises:
        LatentkitError: as `fit_embedding`; a `UserError` where the reference has too few of
            the points, or another number of dimensions.
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
    """Make one of a run's maps; the stage ``embed:<map>``."""
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
    """Find out before the work begins whether the maps can be of, and lie over, what they say.

    Args:
        parts: all maps of a run, in the order in which they are made.
        counts: images of each split.
        folder: the run, or None where it has none yet.

    Raises:
        UserError: more points are asked for than there are, or a map to lie over is not there.
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
                f"{part.label}: there is no map {label!r} to lay it over (made before it: "
                f"{there}): add that map first"
            )
        made.add(part.label)


def reads_of_same_run(part: MapConfig) -> tuple[str, ...]:
    """Return the file of the same run that the map is laid over, if it is one."""
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
            f"{part.label}: run {other.manifest.id} has no map {label!r} to lay it over"
        )
    for split in ("train", "test"):
        if other.json(DATA)["digest"][split] != folder.json(DATA)["digest"][split]:
            raise UserError(
                f"{part.label}: run {other.manifest.id} has other images: only maps of one data "
                f"set can be laid over each other"
            )
    arrays = other.arrays(path)
    keys = _keys(arrays["index"], arrays["split"])
    return Reference(f"{other.manifest.id}#{label}", arrays["coordinates"], keys)


def _keys(index: NDArray[np.int64], split: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return a number for each image: its row, and whether it is of the training or test file."""
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
        raise UserError(f"{part.label}: {reference.name} has {len(here)} of its points")
    try:
        found = align(coordinates[here], reference.coordinates[there])
    except ValueError as error:
        raise UserError(f"{part.label} cannot be laid over {reference.name}: {error}") from error
    facts = {"map": reference.name, "n_points": len(here), "disparity": found.disparity}
    return found(coordinates), facts
