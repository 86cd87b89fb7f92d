"""Maps of any vectors in one call."""

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
    """Map vectors from any source, and measure the quality of the maps.

    Args:
        source: an array (N, D); a ``.npy`` or ``.npz`` file of one; or images, whose pixels
            are the vectors.
        names: names of embeddings.
        labels: one label for each vector (N,), or a file of them, for colours and accuracies; by
            default the labels in the source, if it has any.
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
        name: the data set's name.
        split: which images to return.
        data: the folder of data sets.
        **options: options of the data set.

    Raises:
        latentkit.errors.LatentkitError: as in `latentkit.dataset`; `UserError` for other splits.
    """
    if split not in ("train", "test", "all"):
        raise UserError(f"a data set has no split {split!r}: choose train, test or all")
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
