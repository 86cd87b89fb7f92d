"""Arrays of ``.npy``, ``.npz``, HDF5 and Zarr by name, read whole or some rows at a time.

The content decides which of them a path is. HDF5 needs the package h5py and Zarr the package zarr.
Nothing outside the file or folder is read: HDF5's links into other files are refused, and so are
Zarr's codecs that could execute code, such as pickle.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import BrokenEnvironmentError, DataError, LatentkitError
from latentkit.plugin import ArrayFile, check_memory, read_bytes

_HDF5 = b"\x89HDF\r\n\x1a\n"
_OF_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_SPAN = 32 * 2**20  # bytes of rows that are read together
_CODECS = frozenset(
    {"adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta"}
    | {"fixedscaleoffset", "fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize"}
    | {"sharding_indexed", "shuffle", "transpose", "vlen-bytes", "vlen-utf8", "zlib", "zstd"}
)
_KEYS_OF_CODECS = ("compressor", "filters", "codecs", "index_codecs")


class Rows(Protocol):
    """An array (N, ...) of which some rows can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Return rows by a slice, or by ascending numbers."""


@dataclass(frozen=True)
class NamedArrays:
    """The arrays of a file or folder.

    Args:
        shapes: the shape of each array by name; the only array of a file may have the empty name.
        nbytes: returns the bytes that an array takes in memory.
        read: returns an array; raises ResourceError if it does not fit into the free memory.
        rows: returns an array whose rows are read when they are asked for, if the kind of file
            allows it.
        in_parts: whether ``rows`` reads only what is asked for.
        state: changes if a file in the folder does; empty for a single file.
        checksum: returns the SHA-256 of the contents.
    """

    shapes: Mapping[str, tuple[int, ...]]
    nbytes: Callable[[str], int]
    read: Callable[[str], NDArray[Any]]
    rows: Callable[[str], Rows]
    in_parts: bool
    state: str
    checksum: Callable[[], str]


@contextmanager
def open_arrays(path: Path) -> Iterator[NamedArrays]:
    """Open the arrays of a path, to be read inside the block.

    Raises:
        DataError: the path cannot be read, is something else, or is damaged.
        BrokenEnvironmentError: the package that reads this kind of file is missing.
    """
    if path.suffix == ".zarr" or _is_zarr(path):
        yield _zarr_arrays(path)
    elif _starts_as_hdf5(path):
        with _hdf5_arrays(path) as arrays:
            yield arrays
    else:
        with ArrayFile(path) as file:
            names, alone = file.shapes, "" in file
            yield NamedArrays(
                names, file.nbytes, file.__getitem__, file.mapped, alone, "", file.sha256
            )


def _is_zarr(path: Path) -> bool:
    # Unlike the methods of Path, it never raises.
    return any(os.path.isfile(path / name) for name in _OF_ZARR)  # noqa: PTH113


def _starts_as_hdf5(path: Path) -> bool:
    try:
        if not path.is_file():
            return False  # `ArrayFile` says why
        with path.open("rb") as file:
            found = file.read(len(_HDF5)) == _HDF5
    except OSError:
        return False
    if not found and path.suffix.lower() in (".h5", ".hdf5"):
        raise DataError(f"{path} is not an HDF5 file, or is damaged: save it again with h5py")
    return found


def _module(name: str, path: Path, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BrokenEnvironmentError(
            f"{path} needs the package {name}:  pip install 'latentkit[{extra}]'"
        ) from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the many exceptions of damaged arrays into one line."""
    try:
        yield
    except (LatentkitError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} cannot be read, or is damaged ({reason}): get another copy"
        ) from error


class _Spans:
    """An array of a file of chunks, which are read in order, each once for all rows inside."""

    def __init__(self, path: Path, array: Any, whole: Callable[[], NDArray[Any]]) -> None:
        self._path, self._array, self.whole = path, array, whole
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        row = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        chunk = int(array.chunks[0]) if array.chunks else 1
        self._length = max(1, _SPAN // row // chunk) * chunk
        self._start, self._span = 0, np.empty((0, *self.shape[1:]), self.dtype)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        if isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        at = 0
        while at < len(rows):
            start = int(rows[at]) // self._length * self._length
            if start != self._start or not len(self._span):
                with _explained(self._path):
                    self._span = np.asarray(self._array[start : start + self._length])
                self._start = start
            end = max(at + 1, int(np.searchsorted(rows, start + len(self._span))))
            found[at:end] = self._span[rows[at:end] - start]
            at = end
        return found


def _named(path: Path, found: Mapping[str, _Spans], state: str, sha: Callable[[], str]) -> Any:
    def nbytes(name: str) -> int:
        return math.prod(found[name].shape) * found[name].dtype.itemsize

    def read(name: str) -> NDArray[Any]:
        check_memory(nbytes(name), f"{path}: {name}")
        with _explained(path):
            return found[name].whole()

    shapes = {name: array.shape for name, array in found.items()}
    return NamedArrays(shapes, nbytes, read, found.__getitem__, True, state, sha)


@contextmanager
def _hdf5_arrays(path: Path) -> Iterator[NamedArrays]:
    h5py = _module("h5py", path, "hdf5")
    with _explained(path):
        file = h5py.File(path, "r")
    try:
        found: dict[str, _Spans] = {}

        def collect(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset) or item.shape is None:
                return
            if item.external or item.is_virtual:
                raise DataError(f"{path}: {name} lies in another file: copy it into this one")
            text = h5py.check_string_dtype(item.dtype)
            if item.dtype.kind == "O" and text is None:
                raise DataError(f"{path}: {name} holds objects: save it as numbers or text")
            found[name] = _Spans(path, item, lambda: (item if text is None else item.asstr())[()])

        with _explained(path):
            file.visititems(collect)  # follows no links
        yield _named(path, found, "", lambda: _sha256(path))
    finally:
        file.close()


def _zarr_arrays(path: Path) -> NamedArrays:
    if not _is_zarr(path):
        raise DataError(
            f"{path} is not a Zarr array or group: it has no {' or '.join(_OF_ZARR[:3])}"
        )
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if file.name in _OF_ZARR:
            _check_codecs(file)
    zarr = _module("zarr", path, "zarr")
    with _explained(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about types that other programs cannot read
        opened = zarr.open(os.fspath(path), mode="r")
        members = {"": opened}
        if hasattr(opened, "members"):
            members = dict(opened.members(max_depth=None))
        found = {
            name: _Spans(path, array, partial(_whole, array))
            for name, array in sorted(members.items())
            if hasattr(array, "shape")
        }
    stats = [(os.fspath(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]

    def checksum() -> str:
        each = [(file.relative_to(path).as_posix(), _sha256(file)) for file in files]
        return hashlib.sha256(repr(each).encode()).hexdigest()

    state = hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()
    named: NamedArrays = _named(path, found, state, checksum)
    return named


def _whole(array: Any) -> NDArray[Any]:
    return np.asarray(array[...])


def _check_codecs(file: Path) -> None:
    """Refuse a description of Zarr arrays that names codecs which could execute code.

    Raises:
        DataError: it does, or cannot be parsed.
    """
    try:
        waiting: list[Any] = [json.loads(read_bytes(file))]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: it is not JSON") from error
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            # Attributes are the user's own words.
            waiting += [value for key, value in one.items() if key != "attributes"]
            codecs = [one.get(key) for key in _KEYS_OF_CODECS]
            for codec in codecs + [
                each for some in codecs if isinstance(some, list) for each in some
            ]:
                _check_codec(codec, file)


def _check_codec(codec: Any, file: Path) -> None:
    if not isinstance(codec, dict):
        return
    name = str(codec.get("id", codec.get("name", "")))
    if name.removeprefix("numcodecs.") not in _CODECS:
        raise DataError(
            f"{file} names the codec {name!r}, which is not used because it could execute code: "
            f"save the arrays with another, such as zstd"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
