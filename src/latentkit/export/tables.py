"""Results for other programs: tables as CSV, Parquet or .npz, and images as PNG files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from latentkit.atomic import TEMPORARY_PREFIX, storage_error, write_atomically
from latentkit.data.new_images import result_paths
from latentkit.errors import BrokenEnvironmentError, StorageError, UserError

ENDINGS = (".csv", ".parquet", ".npz")


def check_table(path: Path) -> None:
    """Refuse a table that cannot be written, before work is done for it.

    Raises:
        UserError: the file has another ending than `ENDINGS`, or is a folder.
        BrokenEnvironmentError: the package for Parquet is missing.
        StorageError: its folder cannot be written.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f"{path}: should end in {', '.join(ENDINGS)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise BrokenEnvironmentError(
            f"{path} needs the package pyarrow: write .csv or .npz, or install it with  "
            f"pip install 'latentkit[parquet]'"
        )
    folder = next((one for one in path.absolute().parents if one.exists()), path)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise StorageError(f"{path} cannot be written, because {folder} cannot: choose another")


@dataclass(frozen=True)
class TablePart:
    """Some rows of a table.

    Args:
        columns: (N,) each, for .csv and .parquet. In a .csv, text that a spreadsheet would take
            for a formula gets an apostrophe in front.
        arrays: (N, ...) each, for .npz, which also gets the first column; None is left out.
    """

    columns: Mapping[str, NDArray[Any]]
    arrays: Mapping[str, NDArray[Any] | None]


def write_table(path: Path, parts: Iterable[TablePart]) -> None:
    """Write a table part by part, so that memory holds one of them; its ending chooses the form.

    A .npz needs as much free disk again while it is written, because the length of an array comes
    before its numbers.

    Args:
        path: checked by `check_table`.
        parts: the rows, in order; at least one part, and all with the same columns.

    Raises:
        StorageError: the file cannot be written.
    """
    write = {".csv": _write_csv, ".parquet": _write_parquet, ".npz": _write_npz}[path.suffix]
    write_atomically(path, lambda temporary: write(temporary, parts))


def _write_csv(path: Path, parts: Iterable[TablePart]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        for number, part in enumerate(parts):
            if number == 0:
                table.writerow(map(_cell, part.columns))
            # The elements stay NumPy's, whose text has as many digits as their type.
            cells = (
                map(_cell, values) if values.dtype.kind == "U" else values
                for values in part.columns.values()
            )
            table.writerows(zip(*cells, strict=True))


def _write_parquet(path: Path, parts: Iterable[TablePart]) -> None:
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    with ExitStack() as stack:
        writer = None
        for part in parts:
            table = pyarrow.table(
                {
                    key: values.tolist()
                    if values.dtype.kind == "U"
                    else np.ascontiguousarray(values)
                    for key, values in part.columns.items()
                }
            )
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(path, table.schema))
            writer.write_table(table)


def _write_npz(path: Path, parts: Iterable[TablePart]) -> None:
    with ExitStack() as stack:
        kept: dict[str, _WaitingArray] = {}
        for part in parts:
            name = next(iter(part.columns))
            for key, values in {name: part.columns[name], **part.arrays}.items():
                if values is None:
                    continue
                if key not in kept:
                    file = stack.enter_context(TemporaryFile(dir=path.parent))
                    kept[key] = _WaitingArray(file)
                kept[key].append(values)
        archive = stack.enter_context(ZipFile(path, "w", allowZip64=True))
        for key, array in kept.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                array.write(member)


@dataclass
class _WaitingArray:
    """An array on disk, to which rows are appended."""

    file: IO[bytes]
    parts: list[tuple[np.dtype[Any], tuple[int, ...]]] = field(default_factory=list)

    def append(self, values: NDArray[Any]) -> None:
        self.file.write(np.ascontiguousarray(values).tobytes())
        self.parts.append((values.dtype, values.shape))

    def write(self, member: IO[bytes]) -> None:
        """Write the rows in the format .npy; texts get the length of the longest."""
        dtype = np.result_type(*(dtype for dtype, _ in self.parts))
        shape = (sum(shape[0] for _, shape in self.parts), *self.parts[0][1][1:])
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(member, header)
        self.file.seek(0)
        for own, rows in self.parts:
            size = own.itemsize * math.prod(rows)
            values = np.frombuffer(self.file.read(size), own)
            member.write(values.astype(dtype, copy=False).tobytes())


def _cell(text: str) -> str:
    """Return text that spreadsheets show, and do not calculate.

    A name of a file or a class may be a stranger's; a tab or line end may come before the formula.
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


@dataclass
class FolderOfImages:
    """A folder to which images are written, each as a file.

    Images of 1 or 3 channels become PNG files of 8 bits, others .npy files of float32 in [0, 1].

    Args:
        path: the folder; it is created when the first image is written.
        channels: number of channels of the images.
        overwrite: whether files that exist are replaced. Files that were read never are.
    """

    path: Path
    channels: int
    overwrite: bool = False
    _read: Sequence[str] = ()

    @property
    def ending(self) -> str:
        """The ending of the files."""
        return ".png" if self.channels in (1, 3) else ".npy"

    def named_after(self, files: Sequence[str]) -> dict[str, str]:
        """Return the path of the result of each file that is read, by the file's name."""
        self._read = files
        relative = result_paths(files, self.ending)
        return {f: os.path.join(self.path, r) for f, r in zip(files, relative, strict=True)}  # noqa: PTH118

    def numbered(self, row: int, count: int) -> str:
        """Return the path of image number ``row`` of ``count`` images."""
        return str(self.path / f"{row:0{len(str(count - 1))}d}{self.ending}")

    def check(self, targets: Iterable[str]) -> None:
        """Refuse to replace files.

        Raises:
            UserError: a file exists and may not be replaced, or was read; or the folder is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file: name a folder with --out")
        there = [path for path in targets if os.path.lexists(path)]
        if not there:
            return
        read = set(map(os.path.realpath, self._read))
        if of_user := [path for path in there if os.path.realpath(path) in read]:
            raise UserError(f"{of_user[0]} is one of the images: choose another --out")
        if not self.overwrite:
            more = f" and {len(there) - 1:,} more files exist" if there[1:] else " exists"
            raise UserError(f"{there[0]}{more}: choose another --out, or add --overwrite")

    def write(self, path: str, image: NDArray[np.float32]) -> None:
        """Write an image (C, H, W) in [0, 1].

        Raises:
            StorageError: the file cannot be written.
        """
        from PIL import Image

        target = Path(path)
        # A full disk or a kill leaves no half of an image, and no name grows too long.
        temporary = target.with_name(f"{TEMPORARY_PREFIX}image{self.ending}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.ending == ".npy":
                np.save(temporary, image)
            else:
                pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
                shown = pixels[0] if self.channels == 1 else pixels.transpose(1, 2, 0)
                Image.fromarray(np.ascontiguousarray(shown)).save(temporary)
            temporary.replace(target)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise storage_error(target, error) from error
