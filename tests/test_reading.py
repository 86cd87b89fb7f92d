"""Files from strangers are read within limits, or refused in one line."""

import io
import os

import numpy as np
import pytest

from latentkit import reading
from latentkit.errors import IntegrityError, UserError


@pytest.mark.parametrize(
    "name", ["../x", "/x", "//x", "///x", "a/../../x", "", "a\\b", "C:x", "a\0b"]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(IntegrityError, match="names a file outside its folder"):
        reading.inside(tmp_path, name)


def test_no_link_is_followed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    for name in ("file", "folder/secret"):
        with pytest.raises(IntegrityError, match="is a link, which is not followed"):
            reading.read_inside(root, name)
    with pytest.raises(IntegrityError, match="is a link: nothing is written"):
        reading.check_no_links(root)


def test_what_is_no_file_neither_blocks_nor_ends(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match="not a file"):
            reading.open_file(path)
    with pytest.raises(IntegrityError, match="is a pipe: nothing is written"):
        reading.check_no_links(tmp_path)


def test_folders_may_be_nested_deeper_than_python_calls(tmp_path):
    here = os.getcwd()  # noqa: PTH109
    try:
        os.chdir(tmp_path)
        for _ in range(300):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
    finally:
        os.chdir(here)
    assert len(list(reading.everything_in(tmp_path))) == 300


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "levels deep"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "levels deep"),
        (b"[" + b"[]," * 1_100_000 + b"[]]", "lists and objects"),
        (b"[1e999, NaN]", "NaN is not a number of JSON"),
        (b" " * (reading.MOST_JSON + 1), "larger than 32 MiB"),
        (b"\xff", "not UTF-8"),
    ],
    ids=["deep", "rather deep", "wide", "NaN", "large", "bytes"],
)
def test_json_beyond_the_limits_is_refused(content, why):
    with pytest.raises(IntegrityError, match=f"x is damaged: .*{why}"):
        reading.parse_json(content, "x")


def test_toml_beyond_the_limits_is_refused():
    for text in (b"a = " + b"[" * 100_000, b"#" * (reading.MOST_TOML + 1)):
        with pytest.raises(UserError, match="x is not valid TOML"):
            reading.parse_toml(text, "x", UserError)
    assert reading.parse_toml(b"\xef\xbb\xbfa = 1\r\n", "x") == {"a": 1}


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {
        "a": np.arange(6).reshape(2, 3),
        "fortran": np.asfortranarray(np.eye(3)[:, :2]),
        "empty": np.zeros((0, 3)),
        "text": np.array(["a", "bc"]),
        "scalar": np.float32(3),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    found = reading.parse_arrays(buffer.getvalue(), tmp_path)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    for cut in range(0, len(buffer.getvalue()), 97):
        with pytest.raises(IntegrityError, match="is damaged"):
            reading.parse_arrays(buffer.getvalue()[:cut], tmp_path)
