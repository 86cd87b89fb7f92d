"""The explorer's container: arrays become a header and blobs.

``docs/explorer-format.md`` describes the container. Nothing here knows runs, models or folders, so
that any program can write or read such a container. The same arrays give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentkit._version import __version__
from latentkit.explore.thumbnails import Atlases

FORMAT = "latentkit-explorer"
VERSION = 1
_EFFORT = 6  # level of gzip
_DTYPES = {
    "f4": "<f4",
    "f2": "<f2",
    "u1": "|u1",
    "u2": "<u2",
    "u4": "<u4",
    "i4": "<i4",
    "i2": "<i2",
}

Floats = NDArray[np.floating[Any]]
Precision = Literal["f4", "f2"]
Json = dict[str, Any]


@dataclass(frozen=True)
class PageItems:
    """The images that a page shows, the same in all of its spaces.

    Args:
        count: N, their number.
        rows: (N,), the number of each item in its split; None for 0 to N - 1.
        splits: (N,), position of each item's split in ``split_names``; None if all are test items.
        split_names: names of the splits.
        labels: (N,), -1 where it is unknown; None if there are no labels.
        class_names: name of each label.
        atlases: pictures of the images; None if there are none.
        no_images: why there are no pictures.
        files: (N,), the file of each image; None if they are not known.
    """

    count: int
    rows: NDArray[np.integer[Any]] | None = None
    splits: NDArray[np.integer[Any]] | None = None
    split_names: Sequence[str] = ()
    labels: NDArray[np.integer[Any]] | None = None
    class_names: Sequence[str] = ()
    atlases: Atlases | None = None
    no_images: str = ""
    files: Sequence[str] | None = None


@dataclass(frozen=True)
class Column:
    """A value of each item.

    Args:
        key: short name, unique in its space.
        name: name for readers.
        values: (N,), numbers, or labels from 0 up with ``names``; NaN or -1 where unknown.
        about: one sentence that defines it.
        names: names of the labels; None for numbers.
    """

    key: str
    name: str
    values: NDArray[Any]
    about: str
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class LinearInverse:
    """How a linear map turns back into latents: ``mean + coordinates @ axes``.

    Args:
        mean: (D,), the latent at the origin of the coordinates.
        axes: (2 or 3, D).
    """

    mean: Floats
    axes: Floats


@dataclass(frozen=True)
class PageMap:
    """A map of the items.

    Args:
        key: short name, unique in its space.
        name: name for readers.
        coordinates: (N, 2 or 3).
        about: a sentence on the method.
        fitted_on: the points that it was fitted on, in words.
        trust: (N,), trustworthiness of each item, NaN where it was not measured; None without.
        figures: measured quality of the whole map, by name.
        inverse: how coordinates become latents, if the map is linear.
    """

    key: str
    name: str
    coordinates: Floats
    about: str
    fitted_on: str
    trust: Floats | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    inverse: LinearInverse | None = None


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture of the latents.

    Args:
        weights: (K,), which add up to 1.
        means: (K, D).
        cholesky: (K, D, D), lower triangles, or (K, D), standard deviations.
    """

    weights: Floats
    means: Floats
    cholesky: Floats


@dataclass(frozen=True)
class PageDecoder:
    """A decoder as a recorded program, with a few of its results.

    Args:
        program: the operations, as JSON.
        weights: (W,), float32 or float16, all constants of the program.
        latents: (P, D), a few latents.
        images: (P, C, H, W), what the model decodes them to.
    """

    program: Mapping[str, Any]
    weights: Floats
    latents: Floats
    images: Floats


@dataclass(frozen=True)
class PageSpace:
    """The latents of one model, and what is known of them.

    Args:
        name: the run's name.
        model: the model's name.
        title: name for readers.
        latents: (N, D).
        mean: (D,), of the training latents.
        sigma: (D,), their standard deviation.
        weights: (D,), how much each dimension is used.
        order: (D,), the dimensions from the most used to the least.
        prior: whether the model has a standard normal prior.
        epoch: after which the weights were kept; None for the final weights.
        columns: values of the items.
        maps: maps of the items.
        mixture: fitted to the training latents.
        decoder: from latents to images.
        no_decoder: why there is none.
    """

    name: str
    model: str
    title: str
    latents: Floats
    mean: Floats
    sigma: Floats
    weights: Floats
    order: NDArray[np.integer[Any]]
    prior: bool = False
    epoch: int | None = None
    columns: Sequence[Column] = ()
    maps: Sequence[PageMap] = ()
    mixture: Mixture | None = None
    decoder: PageDecoder | None = None
    no_decoder: str = ""


@dataclass(frozen=True)
class Blob:
    """One binary part of the container.

    Args:
        stored: the bytes as they are stored, compressed unless the header says otherwise.
        size: number of bytes before compression.
        crc: CRC-32 of the bytes before compression.
        first: whether the first picture needs it.
    """

    stored: bytes
    size: int
    crc: int
    first: bool = False


@dataclass(frozen=True)
class Layout:
    """The container: a header, which names the blobs, and the blobs in the order of the page."""

    header: Json
    blobs: Mapping[str, Blob]

    def bytes_of(self, *endings: str) -> int:
        """Return how many bytes of base64 are blobs whose names have one of these endings."""
        return sum(
            -(-len(blob.stored) // 3) * 4
            for name, blob in self.blobs.items()
            if name.endswith(endings)
        )


def explorer_layout(
    items: PageItems,
    spaces: Sequence[PageSpace],
    *,
    title: str,
    subtitle: str = "",
    notes: Iterable[str] = (),
    latents: Precision = "f4",
) -> Layout:
    """Return the container of a page.

    Args:
        items: the images.
        spaces: one or more models of the same items.
        title: title of the page.
        subtitle: line below the title.
        notes: what was left out of the page, and why.
        latents: how latents are stored: ``f4`` is float32, and ``f2`` float16.

    Raises:
        ValueError: an array does not fit the number of items or of latents.
    """
    blobs = _Blobs()
    header: Json = {
        "format": FORMAT,
        "version": VERSION,
        "latentkit": __version__,
        "title": title,
        "subtitle": subtitle,
        "notes": list(notes),
        "items": _items(items, blobs),
        "spaces": [_space(space, n, items.count, blobs, latents) for n, space in enumerate(spaces)],
    }
    return Layout(header, blobs.ordered())


class _Blobs:
    """The blobs of a container, and the sections of the header that name them."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}

    def array(self, name: str, values: Any, dtype: str, *, first: bool = False) -> Json:
        """Add an array, and return its section."""
        array = np.ascontiguousarray(values, _DTYPES[dtype])
        self._add(name, array.tobytes(), first=first)
        return {"name": name, "dtype": dtype, "shape": list(array.shape), "encoding": "gzip"}

    def text(self, name: str, text: str) -> Json:
        """Add a text, and return its section."""
        content = text.encode(errors="backslashreplace")
        self._add(name, content)
        return {"name": name, "dtype": "utf8", "shape": [len(content)], "encoding": "gzip"}

    def picture(self, name: str, content: bytes) -> Json:
        """Add a file of pictures, which is compressed already, and return its section."""
        self._blobs[name] = Blob(content, len(content), zlib.crc32(content))
        return {"name": name, "dtype": "bytes", "shape": [len(content)], "encoding": "raw"}

    def _add(self, name: str, content: bytes, *, first: bool = False) -> None:
        stored = gzip.compress(content, _EFFORT, mtime=0)
        self._blobs[name] = Blob(stored, len(content), zlib.crc32(content), first)

    def ordered(self) -> dict[str, Blob]:
        """Return the blobs; those that the first picture needs come first."""
        return dict(sorted(self._blobs.items(), key=lambda one: not one[1].first))


def _items(items: PageItems, blobs: _Blobs) -> Json:
    found: Json = {"count": items.count, "rows": None, "splits": None, "files": None}
    if items.labels is not None:
        labels = _of_items(items.labels, items.count, "labels")
        found["labels"] = {
            "names": list(items.class_names),
            "section": blobs.array("items/labels", labels, "i2", first=True),
        }
    else:
        found["labels"] = None
    if items.splits is not None:
        splits = _of_items(items.splits, items.count, "splits")
        section = blobs.array("items/splits", splits, "u1")
        found["splits"] = {"names": list(items.split_names), "section": section}
    if items.rows is not None:
        rows = _of_items(items.rows, items.count, "rows")
        found["rows"] = blobs.array("items/rows", rows, "u4")
    if items.files is not None:
        found["files"] = blobs.text("items/files", json.dumps(list(items.files)))
    found["images"] = None if items.atlases is None else _images(items.atlases, blobs)
    found["no_images"] = items.no_images or None
    return found


def _images(atlases: Atlases, blobs: _Blobs) -> Json:
    return {
        "shape": list(atlases.shape),
        "tile": list(atlases.tile),
        "columns": atlases.columns,
        "rows": atlases.rows,
        "atlases": [
            blobs.picture(f"items/atlas{number}", file) for number, file in enumerate(atlases.files)
        ],
        "mime": "image/webp",
        "lossless": atlases.lossless,
        "channels": list(atlases.channels),
    }


def _space(space: PageSpace, number: int, count: int, blobs: _Blobs, precision: Precision) -> Json:
    place = f"space{number}"
    dim = space.latents.shape[1]
    keys = [one.key for one in space.maps]
    if len(set(keys)) < len(keys):
        raise ValueError(f"maps share a key: {keys}")
    # The map that is shown first is the one of the first space that is trusted most.
    trusted = [one.figures.get("trustworthiness", -1.0) for one in space.maps]
    shown = trusted.index(max(trusted)) if trusted and number == 0 else -1
    maps = [
        _map(one, f"{place}/map{n}", count, blobs, first=n == shown)
        for n, one in enumerate(space.maps)
    ]
    latents = _of_items(space.latents, count, "latents")
    found: Json = {
        "name": space.name,
        "model": space.model,
        "title": space.title,
        "epoch": space.epoch,
        "latents": blobs.array(f"{place}/latents", latents, _fitting(latents, precision)),
        "dim": dim,
        "mean": _numbers(space.mean, dim),
        "sigma": _numbers(space.sigma, dim),
        "order": [int(one) for one in space.order],
        "weights": _numbers(space.weights, dim),
        "prior": space.prior,
        "columns": [
            _column(one, f"{place}/column-{one.key}", count, blobs) for one in space.columns
        ],
        "maps": maps,
    }
    found["mixture"] = None
    if space.mixture is not None:
        mixture = space.mixture
        found["mixture"] = {
            "weights": _numbers(mixture.weights, len(mixture.means)),
            "means": blobs.array(f"{place}/mixture-means", mixture.means, "f4"),
            "cholesky": blobs.array(f"{place}/mixture-cholesky", mixture.cholesky, "f4"),
        }
    found["decoder"] = _decoder(space.decoder, place, blobs) if space.decoder else None
    found["no_decoder"] = space.no_decoder or None
    return found


def _column(column: Column, name: str, count: int, blobs: _Blobs) -> Json:
    values = _of_items(column.values, count, column.key)
    dtype = "f4" if column.names is None else "i2"
    if column.names is None:
        values = _shortened(values)
    return {
        "key": column.key,
        "name": column.name,
        "kind": "number" if column.names is None else "class",
        "names": None if column.names is None else list(column.names),
        "section": blobs.array(name, values, dtype),
        "about": column.about,
    }


def _map(one: PageMap, place: str, count: int, blobs: _Blobs, *, first: bool) -> Json:
    coordinates = np.asarray(_of_items(one.coordinates, count, one.key), np.float64)
    low, high = coordinates.min(0), coordinates.max(0)
    centre = (low + high) / 2
    scale = float(np.abs(coordinates - centre).max()) or 1.0
    inverse = None
    if one.inverse is not None:
        axes = np.asarray(one.inverse.axes, np.float64)
        inverse = {
            "kind": "linear",
            "mean": _numbers(one.inverse.mean, axes.shape[1]),
            "axes": [_numbers(axis, axes.shape[1]) for axis in axes],
        }
    trust = None
    if one.trust is not None:
        trust = blobs.array(
            f"{place}/trust", _shortened(_of_items(one.trust, count, "trust")), "f4"
        )
    return {
        "key": one.key,
        "name": one.name,
        "dims": coordinates.shape[1],
        "section": blobs.array(
            f"{place}/coordinates", (coordinates - centre) / scale, "f4", first=first
        ),
        "scale": scale,
        "centre": centre.tolist(),
        "trust": trust,
        "figures": {name: float(value) for name, value in one.figures.items()},
        "about": one.about,
        "fitted_on": one.fitted_on,
        "inverse": inverse,
    }


def _decoder(decoder: PageDecoder, place: str, blobs: _Blobs) -> Json:
    program = json.dumps(decoder.program, separators=(",", ":"), allow_nan=False)
    half = decoder.weights.dtype == np.float16
    precision, weights = ("f2", decoder.weights) if half else ("f4", _shortened(decoder.weights))
    return {
        "program": blobs.text(f"{place}/decoder-program", program),
        "weights": blobs.array(f"{place}/decoder-weights", weights, precision),
        "probe": {
            "latents": blobs.array(f"{place}/probe-latents", decoder.latents, "f4"),
            "images": blobs.array(f"{place}/probe-images", decoder.images, "f4"),
        },
    }


def _shortened(values: NDArray[Any]) -> NDArray[np.float32]:
    """Round numbers to float32 with 17 significant bits, five digits, which compress better.

    The difference is far below what an image shows, or what a column is read to.
    """
    whole = np.asarray(values, np.float32)
    short = ((whole.view(np.uint32) + _HALF) & ~np.uint32(2 * _HALF - 1)).view(np.float32)
    return np.where(np.isfinite(whole) & np.isfinite(short), short, whole)


_HALF = np.uint32(1 << 6)  # of the last bit that is kept


def _of_items(values: NDArray[Any], count: int, name: str) -> NDArray[Any]:
    if len(values) != count:
        raise ValueError(f"{len(values)} {name} for {count} items")
    return values


def _numbers(values: Any, count: int) -> list[float]:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"expected {count} finite numbers, not {numbers.shape}")
    return [float(one) for one in numbers]


def _fitting(values: Floats, wanted: Precision) -> Precision:
    """Return ``f4`` for values that float16 cannot hold."""
    largest = float(np.abs(values).max(initial=0.0))
    return wanted if largest <= float(np.finfo(np.float16).max) else "f4"
