"""A file is there whole or not at all."""

import errno
import json

import pytest

from latentkit.errors import StorageError
from latentkit.runs.commit import sha256_of, write_atomically, write_bytes, write_json


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
        (errno.ENOSPC, "the disk is full: .* make room and run 'latentkit resume'"),
        (errno.EACCES, "cannot write .*: Permission denied; choose another folder with --out"),
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


def test_json_is_strict_and_utf8(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"name": "é", "value": 0.1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "é", "value": 0.1}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"value": float("nan")})
    assert sha256_of(path) == sha256_of(path)
