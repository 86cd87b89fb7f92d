"""Downloads and IDX files, over the real code against a server of our own."""

import functools
import gzip
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import latentkit as lk
from latentkit.builtins.datasets import idx
from latentkit.errors import BrokenEnvironmentError, DataError, NetworkError, StorageError

NOWHERE = "http://127.0.0.1:9"


def packed(array):
    head = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


def forged_files():
    generator = np.random.default_rng(0)
    return {
        f"{part}-{what}": packed(array)
        for part, n in (("train", 20), ("t10k", 10))
        for what, array in (
            ("images-idx3-ubyte.gz", generator.integers(0, 256, (n, 28, 28), np.uint8)),
            ("labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8) % 10),
        )
    }


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve forged files whose checksums are the known ones; returns folder and address."""
    folder = tmp_path / "served"
    folder.mkdir()
    files = forged_files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(FashionMNIST, "resources", sums)
    handler = functools.partial(_Quiet, directory=str(folder))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def load(cache, mirror=NOWHERE, split="train"):
    return lk.dataset("fashion-mnist", split, data=cache, mirror=mirror)


def test_files_are_downloaded_checked_and_then_read_without_the_network(server, tmp_path):
    _, address = server
    cache = tmp_path / "cache"
    first = load(cache, address)
    assert first.images.shape == (20, 1, 28, 28)
    assert first.labels.tolist() == [*range(10), *range(10)]
    assert load(cache).digest() == first.digest()
    assert load(cache, address, "test").images.shape == (10, 1, 28, 28)


def test_unpacked_files_as_torchvision_leaves_them_are_read(server, tmp_path):
    folder, _ = server
    raw = tmp_path / "cache" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in folder.iterdir():
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert len(load(tmp_path / "cache")) == 20


def test_a_download_with_the_wrong_content_is_not_kept(server, tmp_path):
    folder, address = server
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(NetworkError, match="could not be downloaded"):
        load(tmp_path / "cache", address)
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_without_a_network_the_files_their_sums_and_their_place_are_named(tmp_path):
    with pytest.raises(NetworkError) as raised:
        load(tmp_path)
    text = str(raised.value)
    assert text.count("MD5") == 4
    assert "train-images-idx3-ubyte.gz (MD5 8d4fb7e6c68d591d4c3dfef9ec88bf0d)" in text
    assert str(tmp_path / "FashionMNIST" / "raw") in text
    assert "--data-dir" in text


def test_a_file_that_was_changed_on_disk_is_refused(server, tmp_path):
    _, address = server
    load(tmp_path, address)
    path = tmp_path / "FashionMNIST/raw/train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz is damaged: its MD5 is not"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\1\0\0\0\1....", "not an IDX file of bytes"),
        (b"\0\0\x08\1\0\0\0\2.", "truncated"),
        (b"\0\0\x08\3\0\0", "truncated"),
    ],
)
def test_a_file_that_is_no_idx_file_is_refused(raw, message, tmp_path):
    with pytest.raises(DataError, match=message):
        idx._parse_idx(raw, tmp_path / "x")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "FashionMNIST").write_text("in the way")
    with pytest.raises(StorageError, match="--data-dir"):
        load(tmp_path)


def test_a_torchvision_that_does_not_fit_torch_says_how_to_mend_it(monkeypatch, tmp_path):
    import builtins

    real = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BrokenEnvironmentError, match="--force-reinstall torch torchvision"):
        load(tmp_path)
