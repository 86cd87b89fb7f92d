"""Tables that are written part by part."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from latentkit.errors import DataError, StorageError
from latentkit.export.tables import FolderOfImages, TablePart, write_table

LENGTHS = (3, 1, 2)


def parts(fail=False):
    """Yield parts of 3, 1 and 2 rows, whose names have different lengths; then perhaps fail."""
    start = 0
    for length in LENGTHS:
        rows = np.arange(start, start + length)
        names = np.array([f"{'x' * int(row)}.png" for row in rows])
        latents = np.stack([rows, rows * 10], axis=1).astype(np.float32)
        columns = {"image": names, "z0": latents[:, 0], "z1": latents[:, 1]}
        yield TablePart(columns, {"latents": latents, "error": None})
        start += length
    if fail:
        raise DataError("a file cannot be read")


NAMES = [f"{'x' * row}.png" for row in range(6)]
LATENTS = [[row, row * 10] for row in range(6)]


def test_a_csv_has_the_rows_of_all_parts_below_one_header(tmp_path):
    write_table(tmp_path / "a.csv", parts())
    header, *rows = csv.reader((tmp_path / "a.csv").open(newline=""))
    assert header == ["image", "z0", "z1"]
    assert [row[0] for row in rows] == NAMES
    assert [[float(value) for value in row[1:]] for row in rows] == LATENTS


def test_a_parquet_has_a_row_group_for_each_part(tmp_path):
    write_table(tmp_path / "a.parquet", parts())
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)] == [3, 1, 2]
    table = file.read().to_pydict()
    assert table["image"] == NAMES
    assert [list(row) for row in zip(table["z0"], table["z1"], strict=True)] == LATENTS


def test_a_npz_has_whole_arrays_and_the_longest_names(tmp_path):
    write_table(tmp_path / "a.npz", parts())
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == ["image", "latents"]
        assert arrays["image"].tolist() == NAMES
        assert arrays["latents"].dtype == np.float32
        assert arrays["latents"].tolist() == LATENTS


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz"])
def test_a_table_that_fails_half_way_leaves_the_old_one_and_no_other_file(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"old")
    with pytest.raises(DataError):
        write_table(path, parts(fail=True))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_image_that_the_disk_has_no_room_for_leaves_the_old_one(tmp_path, channels, monkeypatch):
    folder = FolderOfImages(tmp_path, channels, overwrite=True)
    target = folder.numbered(0, 10)
    folder.write(target, np.zeros((channels, 8, 8), np.float32))
    old = Path(target).read_bytes()

    def full(*args, **others):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(StorageError, match="the disk is full"):
        folder.write(target, np.ones((channels, 8, 8), np.float32))
    assert Path(target).read_bytes() == old
    assert list(tmp_path.iterdir()) == [Path(target)]
