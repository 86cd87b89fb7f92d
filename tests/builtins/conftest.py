"""A local server that offers a small forged Fashion-MNIST."""

from __future__ import annotations

import functools
import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from latentkit.builtins.datasets.mnist_family import PLACES


def pack(array: NDArray[np.uint8]) -> bytes:
    """Return an array as a gzipped IDX file."""
    head = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


def _forged_files() -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    return {
        f"{part}-{what}": pack(array)
        for part, n in (("train", 20), ("t10k", 10))
        for what, array in (
            ("images-idx3-ubyte.gz", generator.integers(0, 256, (n, 28, 28), np.uint8)),
            ("labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8) % 10),
        )
    }


class _Quiet(SimpleHTTPRequestHandler):
    """Server of a folder; if it contains a file ``cut``, only half of each response is sent."""

    def log_message(self, *arguments):
        pass

    def copyfile(self, source, outputfile):
        content = source.read()
        cut = (Path(self.directory) / "cut").exists()
        outputfile.write(content[: len(content) // 2] if cut else content)


@dataclass(frozen=True)
class Server:
    """The served folder and its address."""

    folder: Path
    address: str


@pytest.fixture(scope="session")
def packed() -> Callable[[NDArray[np.uint8]], bytes]:
    """Return the function that packs an array as a gzipped IDX file."""
    return pack


@pytest.fixture
def known_as_genuine(monkeypatch) -> Callable[[Mapping[str, bytes]], None]:
    """Return a function that makes the checksums of given files the known ones."""

    def know(files: Mapping[str, bytes]) -> None:
        sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
        places = replace(PLACES["FashionMNIST"], md5=sums)
        monkeypatch.setitem(PLACES, "FashionMNIST", places)

    return know


@pytest.fixture
def server(public_dir, known_as_genuine) -> Iterator[Server]:
    """Serve forged files whose checksums are accepted as genuine."""
    folder = public_dir / "served"
    folder.mkdir()
    files = _forged_files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    known_as_genuine(files)
    handler = functools.partial(_Quiet, directory=str(folder))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield Server(folder, f"http://127.0.0.1:{http.server_port}")
    http.shutdown()
    thread.join()
    http.server_close()
