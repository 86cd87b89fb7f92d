"""Maps of anybody's vectors in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.api.parts import dataset
from latentkit.api.places import MAPS
from latentkit.config import build_config, find_part
from latentkit.data.vectors import Vectors, as_vectors, pixels, read_labels, read_vectors
from latentkit.errors import UserError
from latentkit.pipeline.points import draw_rows
from latentkit.pipeline.vector_maps import VectorMaps, map_vectors
from latentkit.plugin.events import Listener, ignore
from latentkit.plugin.images import ImageData
from latentkit.plugin.protocols import Split
from latentkit.registry.catalogue import default_registry

Path_ = str | os.PathLike[str]


def embed_vectors(
    source: NDArray[Any] | ImageData | Path_,
    names: Iterable[str],
    *,
    labels: NDArray[Any] | Path_ | None = None,
    on: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: Path_ = MAPS,
    name: str = "",
    listener: Listener = ignore,
) -> VectorMaps:
    """Map vectors that no run has made, and measure how far the maps can be trusted.

    Args:
        source: an array (N, D); a ``.npy`` or ``.npz`` file of one; or images, whose pixels
            are the vectors.
        names: embeddings.
        labels: one for each vector (N,), or a file of them, for colours and accuracies; what
            the source has of its own where None.
        on: map so many, drawn by the seed, instead of all.
        options: ``"embedding.option"`` to a value, e.g. ``{"isomap.n_neighbors": 20}``.
        seed: everything random follows from it.
        out: the folder in which the maps' own folder is made.
        name: what the vectors are called; the file's name where empty.
        listener: is called with every event.

    Returns:
        The maps: coordinates (N, 2 or 3) and quality of each, and the folder that holds them.

    Raises:
        latentkit.errors.LatentkitError: of the kind that tells what is wrong.

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
        find_part(registry, "embedding", part).target()
    vectors = _vectors(source, labels)
    if on is not None:
        vectors = vectors.rows(draw_rows(len(vectors.values), on, seed))
    is_file = isinstance(source, str | os.PathLike)
    return map_vectors(
        vectors,
        config.embeddings,
        name=name or (Path(source).stem if is_file else "vectors"),  # type: ignore[arg-type]
        out=Path(out),
        registry=registry,
        seed=seed,
        tell=listener,
    )


def _vectors(
    source: NDArray[Any] | ImageData | Path_, labels: NDArray[Any] | Path_ | None
) -> Vectors:
    if isinstance(source, ImageData):
        vectors = pixels(source, {"images": repr(source), "checksum": source.checksum})
    elif isinstance(source, str | os.PathLike):
        vectors = read_vectors(Path(source))
    else:
        array = np.asarray(source)
        vectors = Vectors(as_vectors(array, "the array"), source={"array": list(array.shape)})
    if labels is None:
        return vectors
    if isinstance(labels, str | os.PathLike):
        return vectors.with_labels(read_labels(Path(labels)), str(labels))
    return vectors.with_labels(np.asarray(labels), "the array of labels")


def images_of(
    name: str, split: str = "test", *, data: Path_ | None = None, **options: Any
) -> ImageData:
    """Return the images of a data set's ``train`` or ``test`` split, or of both (``all``).

    Args:
        name: of the data set.
        split: which images.
        data: the folder of data sets.
        **options: of the data set.

    Raises:
        latentkit.errors.LatentkitError: as `latentkit.dataset`; a `UserError` for another split.
    """
    if split not in ("train", "test", "all"):
        raise UserError(f"a data set has the splits train and test, or all, and no {split!r}")
    splits: tuple[Split, ...] = ("train", "test") if split == "all" else (split,)  # type: ignore[assignment]
    found = [dataset(name, each, data=data, **options) for each in splits]
    if len(found) == 1:
        return found[0]
    labels = [images.labels for images in found if images.labels is not None]
    return ImageData(
        images=np.concatenate([images.images for images in found]),
        labels=np.concatenate(labels) if len(labels) == len(found) else None,
        class_names=found[0].class_names,
        licence=found[0].licence,
    )
