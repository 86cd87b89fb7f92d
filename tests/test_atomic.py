"""A file is there whole or not at all."""

import errno
import json
import os
from pathlib import Path

import pytest

from latentkit.atomic import sha256_of, write_atomically, write_bytes, write_json
from latentkit.errors import StorageError


def test_a_write_that_fails_leaves_the_old_content_and_no_rest(tmp_path):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail(temporary):
        temporary.write_bytes(b"half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_the_file_before_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file.bin"
    seen = []

    def write(temporary):
        temporary.write_bytes(b"first half")
        seen.append(path.exists())
        temporary.write_bytes(b"whole")

    write_atomically(path, write)
    assert seen == [False]
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full: .* make room and try again"),
        (errno.EACCES, "cannot write .*: Permission denied; choose another folder, or change"),
        (errno.EROFS, "Read-only file system"),
    ],
)
def test_what_the_system_refuses_is_a_storage_error_that_says_what_to_do(tmp_path, number, message):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def refuse(temporary):
        raise OSError(number, __import__("os").strerror(number))

    with pytest.raises(StorageError, match=message):
        write_atomically(path, refuse)
    assert path.read_bytes() == b"old"


def test_a_file_in_the_place_of_a_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_bytes(tmp_path / "file" / "below", b"")


def replace_by_a_private_file(temporary):
    other = temporary.with_suffix(".other")
    other.touch(mode=0o600)
    other.replace(temporary)


@pytest.mark.parametrize("write", [lambda temporary: None, replace_by_a_private_file])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, write):
    for mask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            write_atomically(tmp_path / "file.bin", write)
        finally:
            os.umask(before)
        assert (tmp_path / "file.bin").stat().st_mode & 0o777 == mode


def test_a_write_never_changes_the_permissions_of_files_that_other_threads_create(
    tmp_path, monkeypatch
):
    change = os.umask

    def change_and_create(mask):
        before = change(mask)
        (tmp_path / f"{mask:o}.txt").touch()  # as another thread might, before the next line
        return before

    monkeypatch.setattr(os, "umask", change_and_create)
    write_bytes(tmp_path / "file.bin", b"")
    open_to_all = [path for path in tmp_path.iterdir() if path.stat().st_mode & 0o022]
    assert open_to_all == []


def test_only_windows_may_refuse_to_open_a_folder_that_must_be_flushed(tmp_path, monkeypatch):
    opened = os.open

    def refuse_folders(path, *arguments):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", refuse_folders)
    with pytest.raises(StorageError, match="Permission denied"):
        write_bytes(tmp_path / "linux.bin", b"new")
    monkeypatch.setattr("sys.platform", "win32")
    write_bytes(tmp_path / "windows.bin", b"new")
    assert (tmp_path / "windows.bin").read_bytes() == b"new"


def test_a_file_and_then_its_folder_are_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed = []
    flush = os.fsync

    def record(handle):
        flushed.append(os.fstat(handle).st_ino)
        flush(handle)

    monkeypatch.setattr(os, "fsync", record)
    write_bytes(tmp_path / "file.bin", b"new")
    assert flushed == [(tmp_path / "file.bin").stat().st_ino, tmp_path.stat().st_ino]


def test_json_is_strict_and_utf8(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"name": "é", "value": 0.1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "é", "value": 0.1}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"value": float("nan")})
    assert sha256_of(path) == sha256_of(path)
