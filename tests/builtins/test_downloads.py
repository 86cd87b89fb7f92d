"""Downloads with the real code from a local server: only complete and genuine files are kept."""

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import latentkit as lk
from latentkit.builtins.datasets.mnist_family import PLACES
from latentkit.errors import NetworkError, StorageError

NOWHERE = "http://127.0.0.1:9"
IMAGES = "train-images-idx3-ubyte.gz"
GENUINE = {
    IMAGES: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def load(cache, mirror=NOWHERE, split="train"):
    return lk.dataset("fashion-mnist", split, data=cache, mirror=mirror)


def test_files_are_downloaded_checked_and_then_read_without_the_network(server, tmp_path):
    first = load(tmp_path, server.address)
    assert first.images.shape == (20, 1, 28, 28)
    assert first.labels.tolist() == [*range(10), *range(10)]
    again = load(tmp_path)
    assert (again.digest(), again.checksum) == (first.digest(), first.checksum)
    assert load(tmp_path, f"{server.address}/", "test").images.shape == (10, 1, 28, 28)


def test_only_the_files_of_the_split_are_fetched(server, tmp_path):
    load(tmp_path, server.address, "test")
    assert {path.name[:4] for path in tmp_path.rglob("*.gz")} == {"t10k"}


def serve_something_else(folder):
    (folder / IMAGES).write_bytes(b"something else")


def lose_a_file(folder):
    (folder / IMAGES).unlink()


def break_the_connection(folder):
    (folder / "cut").touch()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (serve_something_else, "corrupted"),
        (lose_a_file, "File not found"),
        (break_the_connection, "corrupted"),
    ],
)
def test_an_incomplete_or_altered_download_is_not_kept(server, tmp_path, harm, reason):
    harm(server.folder)
    with pytest.raises(NetworkError, match="could not be downloaded") as raised:
        load(tmp_path, server.address)
    assert f"({server.address}/{IMAGES}: " in str(raised.value)
    assert reason in str(raised.value)
    assert not list(tmp_path.rglob("*.gz"))


def test_the_next_mirror_is_tried_if_one_fails(server, tmp_path, monkeypatch):
    mirrors = (f"{NOWHERE}/", f"{server.address}/")
    monkeypatch.setitem(PLACES, "FashionMNIST", replace(PLACES["FashionMNIST"], mirrors=mirrors))
    assert len(load(tmp_path, mirror="")) == 20


def test_an_interrupted_download_leaves_no_file(server, tmp_path, monkeypatch):
    interrupted = []

    def interrupt(path, md5=None):
        if Path(path).exists():
            interrupted.append(Path(path).name)
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, server.address)
    assert interrupted == [IMAGES]
    assert not list(tmp_path.rglob("*.gz"))


@pytest.mark.parametrize(
    "mirror", ["http://a b/", "http://[bad", "http://127.0.0.1:port", "http://127.0.0.1:9/é"]
)
def test_a_mirror_that_is_not_a_url_is_named(tmp_path, mirror):
    with pytest.raises(NetworkError, match=re.escape(f"({mirror.rstrip('/')}/{IMAGES}: ")):
        load(tmp_path, mirror)


def test_without_a_network_the_error_names_the_files_their_checksums_and_their_folder(tmp_path):
    with pytest.raises(NetworkError) as raised:
        load(tmp_path)
    text = str(raised.value)
    assert text.count("MD5") == len(GENUINE)
    for name, md5 in GENUINE.items():
        assert f"{name} (MD5 {md5})" in text
    assert f"Put its 4 files into {tmp_path / 'FashionMNIST' / 'raw'}: " in text
    assert "--data-dir or LATENTKIT_DATA" in text
    assert "\n" not in text


def test_a_read_only_folder_is_readable_and_a_missing_file_is_a_storage_error(
    server, public_dir, read_only
):
    cache = public_dir / "cache"
    load(cache, server.address)
    with read_only(public_dir):
        assert len(load(cache)) == 20
        with pytest.raises(StorageError, match=r"cannot write .*Permission denied; .* --data-dir"):
            load(cache, server.address, "test")


def test_a_download_onto_a_full_disk_is_a_storage_error(server, tmp_path, monkeypatch):
    def full_disk(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", full_disk)
    with pytest.raises(StorageError, match="No space left on device; choose another place"):
        load(tmp_path, server.address)


def test_a_folder_that_cannot_be_created_is_a_storage_error(tmp_path):
    (tmp_path / "FashionMNIST").write_text("in the way")
    with pytest.raises(StorageError, match="--data-dir"):
        load(tmp_path)
