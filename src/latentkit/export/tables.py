"""Results for other programs: tables as CSV, Parquet or .npz, and images as PNG files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.atomic import storage_error, write_atomically
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


def write_table(
    path: Path, columns: Mapping[str, NDArray[Any]], arrays: Mapping[str, NDArray[Any] | None]
) -> None:
    """Write a table; its ending chooses the form.

    Args:
        path: checked by `check_table`.
        columns: (N,) each, for .csv and .parquet. In a .csv, text that a spreadsheet would take
            for a formula gets an apostrophe in front.
        arrays: (N, ...) each, for .npz, which also gets the first column; None is left out.

    Raises:
        StorageError: the file cannot be written.
    """

    def write(temporary: Path) -> None:
        if path.suffix == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(map(_cell, columns))
                # The elements stay NumPy's, whose text has as many digits as their type.
                cells = (
                    map(_cell, values) if values.dtype.kind == "U" else values
                    for values in columns.values()
                )
                table.writerows(zip(*cells, strict=True))
        elif path.suffix == ".npz":
            name = next(iter(columns))
            kept = {name: columns[name], **{k: v for k, v in arrays.items() if v is not None}}
            with temporary.open("wb") as file:
                np.savez(file, **kept)  # type: ignore[arg-type]  # the stub knows a newer keyword
        else:
            pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
            plain = {
                key: values.tolist() if values.dtype.kind == "U" else np.ascontiguousarray(values)
                for key, values in columns.items()
            }
            parquet.write_table(pyarrow.table(plain), temporary)

    write_atomically(path, write)


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
    _read: list[Path] = field(default_factory=list)

    @property
    def ending(self) -> str:
        """The ending of the files."""
        return ".png" if self.channels in (1, 3) else ".npy"

    def named_after(self, files: Sequence[Path]) -> dict[str, Path]:
        """Return the path of the result of each file that is read, by the file's name."""
        self._read = list(files)
        relative = result_paths(files, self.ending)
        return {str(f): self.path / r for f, r in zip(files, relative, strict=True)}

    def numbered(self, row: int, count: int) -> Path:
        """Return the path of image number ``row`` of ``count`` images."""
        return self.path / f"{row:0{len(str(count - 1))}d}{self.ending}"

    def check(self, targets: Iterable[Path]) -> None:
        """Refuse to replace files.

        Raises:
            UserError: a file exists and may not be replaced, or was read; or the folder is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file: name a folder with --out")
        there = [path for path in targets if os.path.lexists(path)]
        read = {path.resolve() for path in self._read}
        if of_user := [path for path in there if path.resolve() in read]:
            raise UserError(f"{of_user[0]} is one of the images: choose another --out")
        if there and not self.overwrite:
            raise UserError(
                f"{there[0]} and {len(there) - 1:,} more files exist: choose another --out, or add "
                f"--overwrite"
            )

    def write(self, target: Path, image: NDArray[np.float32]) -> None:
        """Write an image (C, H, W) in [0, 1].

        Raises:
            StorageError: the file cannot be written.
        """
        from PIL import Image

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.ending == ".npy":
                np.save(target, image)
                return
            pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
            shown = pixels[0] if self.channels == 1 else pixels.transpose(1, 2, 0)
            Image.fromarray(np.ascontiguousarray(shown)).save(target)
        except OSError as error:
            raise storage_error(target, error) from error
