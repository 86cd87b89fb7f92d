"""Read files that somebody else may have made, so that the worst result is one line of error.

A file is opened only if it is a regular file: a pipe would block for ever. In a folder that may
come from a stranger, no link is followed, because it may lead to any file of the user's. What is
parsed has a bounded size and depth, and an array is only read if its file is as long as it says.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import tokenize
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal

from latentkit.errors import IntegrityError, LatentkitError, UserError, describe_os_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_JSON = 32 * 2**20
"""Bytes of the largest JSON document that is parsed."""
MOST_TOML = 2**20
"""Bytes of the largest TOML document that is parsed."""
_MOST_DEPTH = 64
_MOST_CONTAINERS = 1_000_000
_WAITS_FOR_NOTHING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FOLLOWS_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def inside(root: Path, relative: str) -> Path:
    """Return the path of a file in a folder that may come from a stranger.

    Args:
        root: the folder, which may itself be a link.
        relative: POSIX path below it; the file need not exist.

    Raises:
        IntegrityError: the path leaves the folder, or leads through a link.
    """
    path = root
    for part in check_relative(root, relative):
        path = path / part
        if path.is_symlink():
            raise IntegrityError(
                f"{path} is a link, which is not followed because it may lead out of {root}: "
                f"put the file or folder itself in its place"
            )
    return path


def check_relative(root: Path, relative: str) -> tuple[str, ...]:
    """Return the parts of a POSIX path below ``root``.

    Raises:
        IntegrityError: the path leaves the folder, or is none.
    """
    path = PurePosixPath(relative)
    # The root of a path may also be two slashes.
    absolute, parts = path.is_absolute(), path.parts
    if absolute or not parts or ".." in parts or set("\\:\0") & set(relative):
        raise IntegrityError(f"{root} names a file outside its folder: {relative!r}")
    return parts


def check_no_links(root: Path) -> None:
    """Refuse to write to a folder that contains links, pipes or devices.

    Raises:
        IntegrityError: there is one, at any depth.
        OSError: a folder cannot be read.
    """
    for path, mode in everything_in(root):
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise IntegrityError(
                f"{path} is a {_kind(mode)}: nothing is written to {root} because that might "
                f"change files elsewhere; remove it first"
            )


def everything_in(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield path and mode of all files and folders in a folder, at any depth, without following.

    Raises:
        OSError: a folder cannot be read.
    """
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                yield Path(entry.path), mode
                if stat.S_ISDIR(mode):
                    waiting.append(Path(entry.path))


def open_file(path: Path | str, *, follow: bool = True) -> io.BufferedReader:
    """Open a regular file for reading.

    Args:
        path: the file.
        follow: whether it may be a link; False in a folder that may come from a stranger.

    Raises:
        OSError: the file cannot be opened, is no regular file, or is a link that is not followed.
    """
    handle, _ = open_handle(path, follow=follow)
    return os.fdopen(handle, "rb")


def open_handle(path: Path | str, *, follow: bool = True) -> tuple[int, os.stat_result]:
    """Open a regular file and return its handle and its state; raises as `open_file`."""
    handle = os.open(path, _WAITS_FOR_NOTHING | (0 if follow else _FOLLOWS_NO_LINK))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, f"it is a {_kind(found.st_mode)}, not a file")
    except BaseException:
        os.close(handle)
        raise
    return handle, found


def read_inside(root: Path, relative: str, most: int | None = None) -> bytes:
    """Return the content of a file in a folder that may come from a stranger.

    Args:
        root: the folder.
        relative: POSIX path below it.
        most: number of bytes that the file may have; None for any number.

    Raises:
        IntegrityError: the path leaves the folder or leads through a link, or the file is too
            large.
        OSError: the file cannot be opened, or is no regular file.
    """
    path = inside(root, relative)
    with open_file(path, follow=False) as file:
        return read_at_most(file, path, most)


_GROWTH = 2**20  # bytes that a file may grow by while it is read


def read_at_most(file: BinaryIO, path: Path, most: int | None) -> bytes:
    """Return the content of an opened file; raises `IntegrityError` if it has more bytes."""
    if most is None:
        return file.read()
    # Python allocates what is asked for, which may be gigabytes more than the file has.
    size = os.fstat(file.fileno()).st_size
    content = file.read(min(most, size + _GROWTH) + 1)
    if len(content) > most:
        raise IntegrityError(
            f"{path} is larger than {most // 2**20} MiB, more than such a file ever needs"
        )
    return content


def parse_json(
    content: bytes, path: Path | str, error: type[LatentkitError] = IntegrityError
) -> Any:
    """Return a JSON document of bounded size and depth.

    Args:
        content: the document, as UTF-8.
        path: where it comes from, for the error.
        error: raised if it is no JSON document.
    """
    try:
        if len(content) > MOST_JSON:
            raise ValueError(f"it is larger than {MOST_JSON // 2**20} MiB")
        if content.count(b"[") + content.count(b"{") > _MOST_CONTAINERS:
            raise ValueError(f"it has more than {_MOST_CONTAINERS:,} lists and objects")
        document = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
        _check_depth(document)
    except (ValueError, RecursionError) as fault:
        raise error(f"{path} is damaged: {_reason(fault)}") from fault
    return document


def parse_toml(
    content: bytes, path: Path | str, error: type[LatentkitError] = IntegrityError
) -> dict[str, Any]:
    """Return a TOML document of bounded size and depth; arguments as in `parse_json`.

    A byte order mark at the start is ignored, because some Windows editors write one.
    """
    try:
        if len(content) > MOST_TOML:
            raise ValueError(f"it is larger than {MOST_TOML // 2**20} MiB")
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        document = tomllib.loads(text)
        _check_depth(document)
    except (ValueError, RecursionError) as fault:
        # A person wrote the file if the error is theirs; then it is not damaged, but has a slip.
        is_what = "is not valid TOML" if error is UserError else "is damaged"
        raise error(f"{path} {is_what}: {_reason(fault)}") from fault
    return document


def parse_arrays(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an uncompressed .npz without object arrays.

    Raises:
        IntegrityError: it is something else, or is shorter than it says.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            described = describe_arrays(archive)
            if sum(info.file_size for info in archive.infolist()) > len(content):
                raise ValueError("its arrays are larger than the file")
            found = {}
            for member, (shape, dtype, fortran, start) in described.items():
                order: Literal["F", "C"] = "F" if fortran else "C"
                array: NDArray[Any] = np.ndarray(
                    shape, dtype, archive.read(member), offset=start, order=order
                )
                found[member.removesuffix(".npy")] = array.copy(order)
            return found
    except ARCHIVE_FAULTS as fault:
        raise IntegrityError(f"{path} is damaged: {_reason(fault)}") from fault


ARCHIVE_FAULTS = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,  # an encrypted member
    MemoryError,
    OverflowError,
    tokenize.TokenError,  # in the header of an array
    zlib.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)
"""What `zipfile` and numpy raise for a file that is no intact .npz."""


def describe_arrays(
    archive: zipfile.ZipFile,
) -> dict[str, tuple[tuple[int, ...], np.dtype[Any], bool, int]]:
    """Return shape, type, whether in Fortran order, and header's bytes of each array in a .npz.

    Raises:
        ValueError: a member is no array, holds objects, or has another size than it says.
        zipfile.BadZipFile, OSError, and others of `ARCHIVE_FAULTS`: the archive is damaged.
    """
    found = {}
    for info in archive.infolist():
        with archive.open(info) as member:
            found[info.filename] = describe_array(member, info.filename, info.file_size)
    return found


def describe_array(
    file: IO[bytes], name: str, size: int
) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
    """Return shape, type, whether in Fortran order, and header's bytes of an opened .npy.

    Args:
        file: the .npy, at its start.
        name: its name, for the error.
        size: number of its bytes.

    Raises:
        ValueError: it is no array, holds objects, or has another size than it says.
        Other exceptions of `ARCHIVE_FAULTS`: it is damaged.
    """
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers of Python 2, and about odd text in them
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(file)
        else:
            raise ValueError(f"{name} has the unknown .npy version {version}")
    start = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are never loaded")
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or dtype.itemsize == 0 or claimed != size - start:
        raise ValueError(f"{name} says that it holds {claimed:,} bytes, but has {size - start:,}")
    return shape, dtype, fortran, start


def _check_depth(document: Any) -> None:
    """Refuse a document that is nested deeply, because code that walks it would fail."""
    level = [document]
    for _ in range(_MOST_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {_MOST_DEPTH} levels deep")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _reason(fault: BaseException) -> str:
    if isinstance(fault, RecursionError):
        return f"it is nested more than {_MOST_DEPTH} levels deep"
    if isinstance(fault, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {fault.start}): save it as UTF-8"
    if isinstance(fault, MemoryError):
        return "its arrays do not fit into memory"
    if isinstance(fault, OSError):
        return describe_os_error(fault)
    return " ".join(str(fault).split()) or type(fault).__name__


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "link",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFDIR: "folder",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")
