"""Arrays in ``.npy`` and ``.npz`` files, and weights in ``.safetensors``, that the user names."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from latentkit import errors, reading
from latentkit.plugin.downloads import check_new
from latentkit.plugin.machine import check_memory

if TYPE_CHECKING:
    from torch import Tensor

_NPY, _ZIPS = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06")
_CHUNK = 2**20  # bytes that are unpacked at once
_SAVE = "save the arrays with  np.savez(FILE, images=images, labels=labels)"


class ArrayFile(Mapping[str, NDArray[Any]]):
    """The arrays of a ``.npy`` or ``.npz`` file by name, each read when it is asked for.

    The content decides which of the two it is. The array of a ``.npy`` has the empty name and is
    memory-mapped; changes to it stay in memory. Python objects are never loaded. The sizes that
    the file states are compared with the file and with the free memory before memory is taken.

    Args:
        path: the file.
        remedy: what to do about a wrong file, for messages.

    Raises:
        latentkit.errors.DataError: the file cannot be read, is something else, or is damaged.
        latentkit.errors.ResourceError: an array that is asked for is larger than the free memory.
    """

    def __init__(self, path: Path, remedy: str = _SAVE) -> None:
        self._path, self._remedy = path, remedy
        self._archive: zipfile.ZipFile | None = None
        with self._explained():
            self._file = reading.open_file(path)
        try:
            with self._explained():
                self._described = self._describe()
        except BaseException:
            self.close()
            raise

    def _describe(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any], bool, int]]:
        start = self._file.read(len(_NPY))
        self._file.seek(0)
        if start == _NPY:
            size = os.fstat(self._file.fileno()).st_size
            return {"": reading.describe_array(self._file, "the array", size)}
        # Check the content first, because zipfile says less about any other file.
        if not start.startswith(_ZIPS):
            raise errors.DataError(
                f"{self._path} is neither an .npz (a zip of arrays) nor an .npy: {self._remedy}"
            )
        self._archive = zipfile.ZipFile(self._file)
        found = reading.describe_arrays(self._archive)
        return {name.removesuffix(".npy"): described for name, described in found.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array by name, known without reading it."""
        return {name: shape for name, (shape, *_) in self._described.items()}

    def nbytes(self, name: str) -> int:
        """Return the size of an array, known without reading it."""
        shape, dtype, *_ = self._described[name]
        return int(np.prod(shape, dtype=object)) * dtype.itemsize

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return an array; raises `KeyError` for an unknown name."""
        check_memory(self.nbytes(name), f"{self._path}" + (f": {name}" if name else ""))
        return self._read(name)

    def mapped(self, name: str = "") -> NDArray[Any]:
        """Return an array that may be larger than the memory, if the file is a ``.npy``.

        The array of a ``.npz`` is read, as by ``[name]``.
        """
        return self[name] if self._archive is not None else self._read(name)

    def _read(self, name: str) -> NDArray[Any]:
        shape, dtype, fortran, start = self._described[name]
        count = int(np.prod(shape, dtype=object))
        order: Literal["F", "C"] = "F" if fortran else "C"
        with self._explained():
            if self._archive is not None:
                flat = self._unpacked(name, np.empty(count, dtype), start)
                return flat.reshape(shape, order=order)
            if not count or not shape:
                self._file.seek(start)
                return np.frombuffer(self._file.read(), dtype, count).reshape(shape).copy()
            # Copy-on-write, because torch does not support read-only memory.
            return np.memmap(self._file, dtype, "c", start, shape, order)

    def _unpacked(self, name: str, flat: NDArray[Any], start: int) -> NDArray[Any]:
        assert self._archive is not None  # noqa: S101  # only called for archives
        content = flat.view(np.uint8)
        members = self._archive.namelist()
        with self._archive.open(name if name in members else f"{name}.npy") as member:
            member.read(start)
            for at in range(0, len(content), _CHUNK):
                chunk = member.read(min(_CHUNK, len(content) - at))
                content[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
                if len(chunk) < min(_CHUNK, len(content) - at):
                    raise EOFError(f"{name} is cut short")
            member.read(1)  # compares the checksum
        return flat

    def __contains__(self, name: object) -> bool:
        return name in self._described

    def __iter__(self) -> Iterator[str]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        with self._explained():
            self._file.seek(0)
            return hashlib.file_digest(self._file, "sha256").hexdigest()

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
        if self._archive is not None:
            self._archive.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the many exceptions of a damaged file into one line."""
        try:
            yield
        except errors.LatentkitError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.strerror:
                reason = errors.describe_os_error(error)
                raise errors.DataError(f"cannot read {self._path}: {reason}") from error
            if "objects" in str(error):
                raise errors.DataError(
                    f"{self._path} has arrays of objects, which cannot be read: convert them to "
                    f"numbers, or to text with dtype=str, and {self._remedy}"
                ) from error
            reason = " ".join(str(error).split()) or type(error).__name__
            raise errors.DataError(f"{self._path} is damaged ({reason}): {self._remedy}") from error


_MOST_HEADER = 2**25


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
        ValueError: it is no safetensors file, is damaged, or has a header above 32 MiB.
    """
    with reading.open_file(path) as file:
        stated = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
    if stated > min(size - 8, _MOST_HEADER):
        raise ValueError(f"its header states {stated:,} bytes, and the file has {size:,}")
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as opened:
            names = list(opened.keys())
            return {name: opened.get_tensor(name) for name in names}, opened.metadata() or {}
    except OSError:
        raise
    except Exception as error:  # some types of numbers, for example, are unknown to torch
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        DataError: names the first such tensor.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        wide = tensor.float() if tensor.element_size() == 1 else tensor  # 8 bits lack isfinite
        if not bool(wide.isfinite().all()):
            raise errors.DataError(
                f"{where}: {name} holds NaN or infinity: use other weights, such as those of an "
                f"earlier epoch if training diverged"
            )


def read_weights(path: Path | str, sha256: str | None = "") -> dict[str, Tensor]:
    """Return the weights in a ``.safetensors`` file by name, on the CPU.

    Args:
        path: the file.
        sha256: SHA-256 that it must have, from `with_sha256`. If it is empty, any file is read, but
            not for a run or study that exists: a stranger's would copy your file into its folder.
            None if no option names the file, such as one that a library downloads: it is not
            checked.

    Raises:
        latentkit.errors.UserError: there is no such file, or it is of another kind. Checkpoints of
            torch are refused, because they are pickles.
        latentkit.errors.DataError: the file is damaged, or a weight is NaN or infinite.
        latentkit.errors.IntegrityError: its SHA-256 is another, or is needed and not given.
        latentkit.errors.ResourceError: the file is larger than the free memory.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise errors.UserError(
            f"{path} is no .safetensors file, and other files of weights may run code: save the "
            f"state dict with safetensors.torch.save_file"
        )
    if sha256 == "":
        check_new(path)
    try:
        with reading.open_file(path) as file:
            check_memory(os.fstat(file.fileno()).st_size, str(path))
            if sha256 and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise errors.IntegrityError(
                    f"{path} is not the file that the model was set up with (its SHA-256 differs): "
                    f"restore the original, or start anew without the SHA-256"
                )
        tensors, _ = read_safetensors(path)
    except OSError as error:
        raise errors.UserError(
            f"cannot read weights {path}: {errors.describe_os_error(error)}"
        ) from error
    except ValueError as error:
        raise errors.DataError(f"{path} is not a safetensors file: {error}") from error
    check_finite(tensors, str(path))
    return tensors
