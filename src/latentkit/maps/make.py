"""One map: select the latents, fit the embedding, align it to another map, measure its quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig, MapOptions
from latentkit.errors import PluginError, UserError
from latentkit.maps.alignment import align
from latentkit.maps.fitting import estimate, fit_embedding
from latentkit.maps.quality import FEWEST_POINTS, map_quality
from latentkit.maps.stability import FEWEST_POINTS as FEWEST_FOR_STABILITY
from latentkit.maps.stability import measure_stability
from latentkit.plugin.events import Listener
from latentkit.plugin.seeds import short_stream_seed, stream_seed
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.find import find_run
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import MapImages


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
    return tuple(run_files.latents_path(split) for split in _splits(what))


def points_text(what: MapOptions) -> str:
    """Describe in words which latents a map shows."""
    return f"{what.on} latents" if what.on in run_files.SPLITS else "latents of all splits"


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
    parts = [folder.arrays(run_files.latents_path(name)) for name in names]
    split = [
        np.full(len(arrays["index"]), run_files.SPLITS.index(name), np.int8)
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
    return (what.on,) if what.on in run_files.SPLITS else run_files.SPLITS


def _joined(parts: list[dict[str, NDArray[Any]]], name: str) -> NDArray[Any]:
    return np.concatenate([arrays[name] for arrays in parts])


def _rows(points: MapPoints, rows: NDArray[np.int64]) -> MapPoints:
    return MapPoints(
        points.latents[rows],
        None if points.labels is None else points.labels[rows],
        points.index[rows],
        points.split[rows],
    )


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
        arrays: ``coordinates`` (N, n_components), and ``trustworthiness`` (N,) of each point; with
            stability also the arrays of `Stability`.
        document: the record: options, seconds, facts and quality, as JSON.
    """

    arrays: dict[str, NDArray[Any]]
    document: dict[str, Any]


def make_map(
    part: MapConfig,
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    *,
    seed: int,
    emit: Listener,
    threads: int,
    keys: NDArray[np.int64] | None = None,
    reference: Reference | None = None,
) -> MadeMap:
    """Fit an embedding to vectors (N, D), and measure the map's quality.

    Args:
        part: the embedding and its options.
        vectors: (N, D), the points to map.
        labels: (N,), for the k-NN accuracy and for embeddings that read labels; None if the
            points have no labels.
        seed: the run's seed.
        emit: receives progress events.
        threads: number of threads for the quality measurement.
        keys: (N,), identifies the image of each vector; required with ``reference``.
        reference: map that this one is aligned to; None for no alignment.

    Raises:
        LatentkitError: as `fit_embedding`; a `UserError` if the reference shares too few
            points, or has another number of dimensions.
    """
    random_state = short_stream_seed(seed, "embedding", part.name)
    started = time.perf_counter()
    estimator = part.build(random_state)
    if isinstance(estimator, type):
        raise PluginError(
            f"embedding {part.name!r} builds the class {estimator.__name__}, expected an estimator"
        )
    coordinates, facts = fit_embedding(
        estimator, part.name, vectors, labels, stage=f"embed:{part.slug}", emit=emit
    )
    aligned = None
    if reference is not None and keys is not None:
        coordinates, aligned = _aligned(coordinates, keys, reference, part)
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
    if part.map.stability:
        measured = measure_stability(part, vectors, coordinates, labels, seed=seed, emit=emit)
        document["stability"] = measured.document
        arrays |= measured.arrays
    return MadeMap(arrays, document)


def embed(context: StageContext, part: MapConfig) -> None:
    """Make one of a run's maps: the work of the stage ``embed:<map>``."""
    points = map_points(context.folder, part.map, context.seed)
    made = make_map(
        part,
        points.latents,
        points.labels,
        seed=context.seed,
        emit=context.emit,
        threads=context.config.run.threads,
        keys=_keys(points.index, points.split),
        reference=_reference(context.folder, part) if part.map.align_to else None,
    )
    stage = f"embed:{part.slug}"
    arrays_path, facts_path = run_files.map_paths(part)
    arrays = {**made.arrays, "index": points.index, "split": points.split}
    context.folder.commit_arrays(arrays_path, stage, **arrays)
    context.folder.commit_json(facts_path, stage, made.document)


def check_maps(parts: Sequence[MapConfig], images: MapImages) -> None:
    """Check before any work starts that the maps' points and reference maps exist.

    Args:
        parts: all maps of a run, in the order in which they are made.
        images: the facts of the run's images, and where other runs are.

    Raises:
        UserError: a map needs more points or dimensions than there are, or its reference map does
            not exist.
        LatentkitError: as `check_points`.
    """
    made = set(images.made)
    for part in parts:
        check_points(
            part, _count(part, images.counts), images.latent_dim, _more(part, images.counts)
        )
        run, label = part.reference
        if part.map.align_to and run:
            _other_run(part, images.runs, images.digest)
        elif part.map.align_to and not run and label not in made:
            there = ", ".join(sorted(made)) or "none"
            raise UserError(
                f"{part.label}: there is no map {label!r} to align it to (maps made before it: "
                f"{there}): add that map first"
            )
        made.add(part.label)


def _count(part: MapConfig, counts: Mapping[str, int]) -> int:
    """Return the number of points of a map, from the number of images of each split."""
    there = sum(counts[split] for split in _splits(part.map))
    if isinstance(part.map.on, str):
        return there
    return len(draw_rows(there, part.map.on, seed=0))


def _more(part: MapConfig, counts: Mapping[str, int]) -> str:
    """Return how to give a map of a run more points."""
    if sum(counts[split] for split in run_files.SPLITS) < FEWEST_POINTS:
        return "use a data set of more images"
    return f"map more images, for example with {part.name}.on=all"


def check_points(part: MapConfig, n: int, d: int, more: str) -> None:
    """Refuse a map of ``n`` points that cannot be made, whatever the points are.

    Args:
        part: the map.
        n: number of points.
        d: dimensions of the points; 0 if they are not known.
        more: how to map more points.

    Raises:
        UserError: there are too few points, or the embedding cannot map ``d`` dimensions.
        ResourceError: the embedding needs more memory than is free.
        PluginError: the embedding cannot be built.
    """
    if n < FEWEST_POINTS:
        raise UserError(
            f"map {part.label}: a map needs {FEWEST_POINTS} points or more and would have {n}: "
            f"{more}, or leave the map out"
        )
    if part.map.stability and n < FEWEST_FOR_STABILITY:
        raise UserError(
            f"map {part.label}: stability needs {FEWEST_FOR_STABILITY} points or more, and the map "
            f"would have {n}: {more}, or leave stability out"
        )
    if d:
        estimate(part.build(0), part.name, n, d)


def most_bytes(parts: Sequence[MapConfig], images: MapImages) -> int:
    """Return the largest memory that one of the maps is estimated to need, in bytes.

    Raises:
        LatentkitError: as `check_points`.
    """
    most = 0
    for part in parts:
        n = _count(part, images.counts)
        found = estimate(part.build(0), part.name, n, images.latent_dim)
        most = max(most, found.bytes if found else 0)
    return most


def made_maps(context: StageContext) -> list[MapConfig]:
    """Return the maps of a run's configuration that could be made."""
    there = context.folder.manifest.artefacts
    return [one for one in context.config.embeddings if run_files.map_paths(one)[1] in there]


def embed_again(part: MapConfig) -> tuple[str, ...]:
    """Return the words of the command that makes a map of a run again, without the run."""
    on = ("--on", str(part.map.on)) if part.map.on != "test" else ()
    stability = ("--stability", str(part.map.stability)) if part.map.stability else ()
    return ("embed", "--embed", part.name, *on, *stability)


def reads_of_same_run(part: MapConfig) -> tuple[str, ...]:
    """Return the file of the reference map, if that map belongs to the same run."""
    run, label = part.reference
    return (_coordinates_path(label),) if part.map.align_to and not run else ()


def _coordinates_path(label: str) -> str:
    return f"embeddings/{label.replace(':', '.')}.npz"


def _reference(folder: RunFolder, part: MapConfig) -> Reference:
    run, label = part.reference
    own = folder.json(run_files.DATA)["digest"]
    other = _other_run(part, folder.path.parent, own.__getitem__) if run else folder
    arrays = other.arrays(_coordinates_path(label))
    keys = _keys(arrays["index"], arrays["split"])
    return Reference(f"{other.manifest.id}#{label}", arrays["coordinates"], keys)


def _other_run(part: MapConfig, runs: Path, digest: Callable[[str], str]) -> RunFolder:
    """Return the run whose map ``align_to`` names.

    Raises:
        UserError: there is no such run, it has no such map, or it has other images.
    """
    run, label = part.reference
    other = RunFolder.open(find_run(run, runs))
    if _coordinates_path(label) not in other.manifest.artefacts:
        raise UserError(
            f"{part.label}: run {other.manifest.id} has no map {label!r} to align it to"
        )
    known = other.json(run_files.DATA)["digest"]
    if any(known[split] != digest(split) for split in ("train", "test")):
        raise UserError(
            f"{part.label} cannot be aligned to a map of run {other.manifest.id}, which has "
            f"other images: choose a run on the same data set"
        )
    return other


def _keys(index: NDArray[np.int64], split: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return a unique number for each image, from its row and its file (training or test)."""
    keys: NDArray[np.int64] = 2 * index.astype(np.int64) + (split == 2)
    return keys


def _aligned(
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
