"""Maps of vectors or images given directly, without a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentkit.atomic import write_atomically, write_json
from latentkit.config import MapConfig
from latentkit.errors import DataError, UserError
from latentkit.evaluation.card_sentences import reading_text
from latentkit.evaluation.card_tables import quality_line
from latentkit.figures.style import save_png
from latentkit.maps.make import check_points, make_map
from latentkit.maps.map_figures import map_scatter, pale_text, point_certainty
from latentkit.plugin.array_files import ArrayFile
from latentkit.plugin.events import Listener, RunPreparing, StageFinished, StageStarted
from latentkit.plugin.images import ImageData, class_codes, plain_array
from latentkit.plugin.machine import check_memory
from latentkit.runs.folder import new_folder
from latentkit.runs.stages import package_versions, warnings_told
from latentkit.training.device import peak_rss_bytes, resolve_threads

_NAMES = ("latents", "vectors", "embeddings", "features", "X", "x", "images")
_LABELS = ("labels", "y", "Y", "targets")
SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True)
class Vectors:
    """Points to be mapped.

    Args:
        values: (N, D), finite.
        labels: (N,), or None.
        class_names: name of each label; may be empty.
        source: where the values come from, for the map's record.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    class_names: Sequence[str] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, chosen: NDArray[np.int64]) -> Vectors:
        """Return the points in the rows ``chosen``."""
        labels = None if self.labels is None else self.labels[chosen]
        return Vectors(self.values[chosen], labels, self.class_names, self.source)

    def with_labels(self, labels: ArrayLike, where: str) -> Vectors:
        """Return the points with labels; the classes are those that occur.

        Args:
            labels: one for each point, in any form that `latentkit.plugin.class_codes` takes.
            where: source of the labels, for the error message.

        Raises:
            DataError: there are more or fewer labels than points, or some are no classes.
        """
        try:
            given, named = class_codes(labels, len(self.values), "vectors")
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        occurring, codes = np.unique(given, return_inverse=True)
        names = [named[code] for code in occurring]
        return Vectors(self.values, codes.astype(np.int64).ravel(), names, self.source)


def read_vectors(path: Path) -> Vectors:
    """Read the rows of a file; an array with more than two axes is flattened.

    A ``.npy`` contains only the vectors. In an ``.npz``, the vectors are the array called latents,
    vectors, embeddings, features, X, x or images, or else the only array with two or more axes. The
    labels are the array called labels, y, Y or targets.

    Raises:
        DataError: the file cannot be read, or its content does not fit.
    """
    with _opened(path) as arrays:
        source = {"file": str(path), "sha256": arrays.sha256()}
        values = as_vectors(arrays[_vectors_among(arrays, path)], str(path))
        vectors = Vectors(values, source=source)
        name = next((name for name in _LABELS if name in arrays), None)
        return vectors if name is None else vectors.with_labels(arrays[name], str(path))


def read_labels(path: Path) -> NDArray[Any]:
    """Read the labels of vectors from a file.

    The labels are the array of a ``.npy``, or the array called labels, y, Y or targets in an
    ``.npz``.

    Raises:
        DataError: the file cannot be read, or it contains no labels.
    """
    with _opened(path) as arrays:
        for name in (_ONLY, *_LABELS):
            if name in arrays:
                return arrays[name]
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}: call the array 'labels'")


def pixels(images: ImageData, source: Mapping[str, Any]) -> Vectors:
    """Return images as vectors (N, C*H*W) of pixels in [0, 1]."""
    values = as_vectors(images.images, str(source))
    return Vectors(values, images.labels, images.class_names, source)


def as_vectors(values: ArrayLike, where: str) -> NDArray[np.float32]:
    """Return float32 vectors (N, D).

    Args:
        values: (N, D) or (N, ...), finite; an array, nested lists, a torch tensor or a data frame.
            uint8 is scaled to [0, 1]; of bool, False becomes 0 and True 1; other numbers stay as
            they are, rounded to float32.
        where: source of the values, for messages.

    Raises:
        DataError: the values are not numbers, or some are not finite.
        ResourceError: the vectors do not fit into the free memory.
    """
    try:
        given = plain_array(values)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if given.ndim < 2 or not given.size or given.dtype.kind not in "fiub":
        raise DataError(
            f"{where} holds {given.dtype} {given.shape}, expected numbers of shape "
            f"(points, dimensions)"
        )
    check_memory(4 * given.size, where)
    with np.errstate(over="ignore"):
        flat = given.reshape(len(given), -1).astype(np.float32, order="C")
    if given.dtype == np.uint8:
        flat /= 255
    bad = ~np.isfinite(flat).all(1)
    if bad.any():
        row = int(bad.argmax())
        what, remedy = "NaN or infinite values", "remove these rows"
        if np.isfinite(given[row]).all():
            what, remedy = "values that are too large for float32", "divide all by a constant"
        raise DataError(
            f"{where}: {int(bad.sum()):,} of {len(flat):,} rows have {what}, the first is row "
            f"{row}: {remedy}"
        )
    return flat


_ONLY = ""


def _opened(path: Path) -> ArrayFile:
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} is neither .npy nor .npz")
    return ArrayFile(path, "save the vectors with  np.save(FILE, vectors)")


def _vectors_among(arrays: ArrayFile, path: Path) -> str:
    """Return the name of the array that holds the vectors."""
    for name in (_ONLY, *_NAMES):
        if name in arrays:
            return name
    wide = [name for name, shape in arrays.shapes.items() if len(shape) >= 2]
    if len(wide) == 1:
        return wide[0]
    held = ", ".join(f"{name} {shape}" for name, shape in arrays.shapes.items()) or "nothing"
    raise DataError(f"{path} holds {held}: call the array to be mapped 'vectors'")


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
    seed: int,
    emit: Listener,
) -> VectorMaps:
    """Make maps one after the other, and write each one as soon as it is done.

    Args:
        vectors: the points; all of them are mapped.
        parts: the embeddings.
        name: name of the vectors in the folder's name and on figures.
        out: the folder in which a new folder for the maps is made.
        seed: seed of everything random.
        emit: receives progress events.

    Raises:
        UserError: there are too few points for a map; no folder is made.
        LatentkitError: a map cannot be made; maps that were already made are kept.
    """
    n, d = vectors.values.shape
    for part in parts:
        check_points(part, n, d, "give more of them")
    emit(RunPreparing(tuple(_stage(part) for part in parts)))
    maps = VectorMaps(new_folder(out, name), {}, {})
    for part in parts:
        emit(StageStarted(_stage(part)))
        started = time.perf_counter()
        with warnings_told(emit):
            made = make_map(
                part,
                vectors.values,
                vectors.labels,
                seed=seed,
                emit=emit,
                threads=resolve_threads(0),
            )
        document = {
            **made.document,
            "source": dict(vectors.source),
            "seed": seed,
            "versions": package_versions(),
        }
        with warnings_told(emit):
            _commit(maps.path, part, vectors, replace(made, document=document), name)
        maps.documents[part.label], maps.arrays[part.label] = document, made.arrays
        emit(StageFinished(_stage(part), time.perf_counter() - started, peak_rss_bytes()))
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
    of = mapped(document)
    reading = reading_text(document, of)
    figure = map_scatter(
        arrays["coordinates"],
        vectors.labels,
        vectors.class_names,
        f"{part.name} of {n:,} vectors of {d:,} dimensions ({name})",
        f"{reading} {quality_line(document['quality'], of)}. {pale_text(arrays)}",
        part.name,
        certainty=point_certainty(arrays),
        islands=arrays.get("island"),
    )
    write_atomically(folder / f"{part.slug}.png", lambda path: save_png(figure, path))
    write_json(folder / f"{part.slug}.json", document)


def _save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
