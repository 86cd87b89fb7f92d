"""Maps of vectors or images given directly, without a run."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.atomic import write_atomically, write_json
from latentkit.config import MapConfig
from latentkit.errors import DataError, UserError, describe_os_error
from latentkit.evaluation.card_tables import quality_line
from latentkit.figures.style import save_png
from latentkit.maps.make import make_map
from latentkit.maps.map_figures import map_scatter
from latentkit.plugin.events import Listener, RunPreparing, StageFinished, StageStarted
from latentkit.plugin.images import ImageData
from latentkit.runs.folder import new_folder
from latentkit.runs.stages import package_versions, peak_rss_bytes, warnings_told
from latentkit.training.device import resolve_threads

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

    def with_labels(self, labels: NDArray[Any], where: str) -> Vectors:
        """Return the points with labels (N,) of any type.

        Args:
            labels: one for each point.
            where: source of the labels, for the error message.

        Raises:
            DataError: the number of labels differs from the number of points.
        """
        n = len(self.values)
        if labels.shape not in ((n,), (n, 1)):
            raise DataError(
                f"{where} has labels {labels.shape} for {n:,} vectors: give one label per vector"
            )
        values, codes = np.unique(labels.ravel(), return_inverse=True)
        names = [str(value) for value in values]
        return Vectors(self.values, codes.astype(np.int64), names, self.source)


def read_vectors(path: Path) -> Vectors:
    """Read the rows of a file; an array with more than two axes is flattened.

    A ``.npy`` contains only the vectors. In an ``.npz``, the vectors are the array called latents,
    vectors, embeddings, features, X, x or images, or else the only array with two or more axes. The
    labels are the array called labels, y, Y or targets.

    Raises:
        DataError: the file cannot be read, or its content does not fit.
    """
    arrays = _read(path)
    source = {"file": str(path), "sha256": _sha256(path)}
    vectors = Vectors(as_vectors(_vectors_among(arrays, path), str(path)), source=source)
    labels = next((arrays[name] for name in _LABELS if name in arrays), None)
    return vectors if labels is None else vectors.with_labels(labels, str(path))


def read_labels(path: Path) -> NDArray[Any]:
    """Read the labels of vectors from a file.

    The labels are the array of a ``.npy``, or the array called labels, y, Y or targets in an
    ``.npz``.

    Raises:
        DataError: the file cannot be read, or it contains no labels.
    """
    arrays = _read(path)
    for name in (_ONLY, *_LABELS):
        if name in arrays:
            return arrays[name]
    raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}: call the array 'labels'")


def pixels(images: ImageData, source: Mapping[str, Any]) -> Vectors:
    """Return images as vectors (N, C*H*W) of pixels in [0, 1]."""
    values = as_vectors(images.images, str(source))
    return Vectors(values, images.labels, images.class_names, source)


def as_vectors(values: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Return float32 vectors (N, D); uint8 values are scaled to [0, 1].

    Raises:
        DataError: the values are not numbers, or some are not finite.
    """
    if values.ndim < 2 or not len(values) or values.dtype.kind not in "fiub":
        raise DataError(
            f"{where} holds {values.dtype} {values.shape}, expected numbers of shape "
            f"(points, dimensions)"
        )
    flat = values.reshape(len(values), -1).astype(np.float32)
    if values.dtype == np.uint8:
        flat /= 255
    bad = ~np.isfinite(flat).all(1)
    if bad.any():
        raise DataError(
            f"{where}: {int(bad.sum()):,} of {len(flat):,} rows have NaN or infinite values, the "
            f"first is row {int(bad.argmax())}: remove these rows"
        )
    return flat


_ONLY = ""


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} is neither .npy nor .npz")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {_ONLY: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise DataError(f"cannot read {path}: {describe_os_error(error)}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a file of plain NumPy arrays: {error}") from error


def _vectors_among(arrays: Mapping[str, NDArray[Any]], path: Path) -> NDArray[Any]:
    for name in (_ONLY, *_NAMES):
        if name in arrays:
            return arrays[name]
    wide = [name for name, values in arrays.items() if values.ndim >= 2]
    if len(wide) == 1:
        return arrays[wide[0]]
    held = ", ".join(f"{name} {values.shape}" for name, values in arrays.items()) or "nothing"
    raise DataError(f"{path} holds {held}: call the array to be mapped 'vectors'")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        LatentkitError: a map cannot be made; maps that were already made are kept.
    """
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
