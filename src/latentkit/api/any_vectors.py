"""Maps of any vectors, and the quality of maps that any tool made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latentkit.api.inputs import MAPS
from latentkit.config import build_config
from latentkit.errors import UserError
from latentkit.maps import quality, vector_maps
from latentkit.maps.make import draw_rows
from latentkit.maps.quality import MapQuality
from latentkit.plugin import ImageData
from latentkit.plugin.events import Listener, ignore
from latentkit.registry.catalogue import default_registry
from latentkit.training.device import resolve_threads

Path_ = str | os.PathLike[str]


def embed_vectors(
    source: ArrayLike | ImageData | Path_,
    names: Iterable[str],
    *,
    labels: ArrayLike | Path_ | None = None,
    on: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: Path_ = MAPS,
    name: str = "",
    listener: Listener = ignore,
) -> vector_maps.VectorMaps:
    """Map vectors from any source, and measure the quality of the maps.

    Args:
        source: an array (N, D), nested lists, a torch tensor or a data frame of finite numbers;
            a ``.npy`` or ``.npz`` file of one; or images, whose pixels are the vectors. uint8 is
            scaled to [0, 1], and other numbers stay as they are.
        names: names of embeddings.
        labels: one label for each vector (N,), or a file of them, for colours and accuracies; by
            default the labels in the source, if it has any. They are text, whole numbers, bool or
            one-hot rows (N, K).
        on: map only this many vectors, drawn with the seed.
        options: values by ``"embedding.option"``, e.g. ``{"isomap.n_neighbors": 20}``.
        seed: seed of everything random.
        out: the folder in which the maps' folder is created.
        name: name of the vectors; by default the file's name.
        listener: called with every event.

    Returns:
        The maps: coordinates (N, 2 or 3) and quality of each, and the folder that holds them.

    Raises:
        latentkit.errors.LatentkitError: mapping fails; the subclass gives the kind of error.

    Example:
        >>> import latentkit as lk
        >>> images = lk.dataset("digits", "test")
        >>> vectors = images.images.reshape(360, 64) / 255
        >>> maps = lk.embed_vectors(vectors, ["pca"], labels=images.labels, name="pixels")
        >>> maps.coordinates("pca").shape
        (360, 2)
        >>> 0.5 < maps.documents["pca"]["quality"]["trustworthiness"]["value"] <= 1
        True
    """
    registry = default_registry()
    config = build_config({}, registry, embeddings=names, overrides=options)
    if config.identity() != build_config({}, registry).identity():
        raise UserError(
            "only options of the embeddings can be set here, such as -o isomap.n_neighbors=20"
        )
    for part in config.embeddings:
        part.part.target()
    vectors = _vectors(source, labels)
    if on is not None:
        vectors = vectors.rows(draw_rows(len(vectors.values), on, seed))
    is_file = isinstance(source, str | os.PathLike)
    return vector_maps.map_vectors(
        vectors,
        config.embeddings,
        name=name or (Path(source).stem if is_file else "vectors"),  # type: ignore[arg-type]
        out=Path(out).expanduser(),
        seed=seed,
        emit=listener,
    )


def _vectors(
    source: ArrayLike | ImageData | Path_, labels: ArrayLike | Path_ | None
) -> vector_maps.Vectors:
    if isinstance(source, ImageData):
        vectors = vector_maps.pixels(source, {"images": repr(source), "checksum": source.checksum})
    elif isinstance(source, str | os.PathLike):
        vectors = vector_maps.read_vectors(Path(source).expanduser())
    else:
        values = vector_maps.as_vectors(source, "the array")
        vectors = vector_maps.Vectors(values, source={"array": list(np.shape(source))})
    if labels is None:
        return vectors
    if isinstance(labels, str | os.PathLike):
        found = vector_maps.read_labels(Path(labels).expanduser())
        return vectors.with_labels(found, str(labels))
    return vectors.with_labels(labels, "the array of labels")


def map_quality(
    vectors: ArrayLike,
    coordinates: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    n_neighbors: int = 10,
    seed: int = 0,
) -> MapQuality:
    """Measure how well a map, made by any tool, shows the vectors.

    Args:
        vectors: what was mapped, (N, D), in any form that `embed_vectors` takes as an array.
        coordinates: the map, (N, 2 or 3), row by row as the vectors.
        labels: one label for each vector, (N,), for accuracies of neighbours.
        n_neighbors: size of the neighbourhoods that are compared, at least 1; reduced to
            (N - 1) // 2 if it is larger.
        seed: seed of what is drawn if there are many points; 0 or more.

    Returns:
        Trustworthiness, continuity, rank correlation and more, most with a standard error, and the
        trustworthiness of each point.

    Raises:
        latentkit.errors.DataError: an input is not finite numbers, or cannot be labels.
        latentkit.errors.UserError: there are fewer than 5 points, the inputs differ in length, or
            another argument is not valid.

    Example:
        >>> import latentkit as lk
        >>> images = lk.dataset("digits", "test")
        >>> pixels = images.images.reshape(360, 64) / 255
        >>> found = lk.map_quality(pixels, pixels[:, [20, 43]], images.labels)
        >>> found.trustworthiness.value < found.continuity.value < 1
        True
    """
    points = _vectors(vectors, labels)
    placed = vector_maps.as_vectors(coordinates, "the array of coordinates")
    if placed.shape[1] not in (2, 3):
        raise UserError(f"a map has 2 or 3 coordinates for each point, not {placed.shape[1]}")
    for name, value, least in (("n_neighbors", n_neighbors, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"{name} is {value}: give {least} or more")
    threads = resolve_threads(0)
    try:
        return quality.map_quality(
            points.values,
            placed,
            points.labels,
            n_neighbors=n_neighbors,
            seed=seed,
            threads=threads,
        )
    except ValueError as error:
        lengths = f"{len(points.values):,} vectors, {len(placed):,} coordinates"
        raise UserError(f"{error}; given are {lengths}") from error
