"""Small files in the layout of MedMNIST that pass the checksums, and a server for them."""

from __future__ import annotations

import functools
import hashlib
import io
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip(
    "latentkit_medmnist", reason="pip install ./plugins/latentkit-medmnist to test it"
)

from latentkit_medmnist.sets import SETS

COUNTS = {"train": 12, "val": 4, "test": 6}


def arrays(described, size=28, seed=0):
    """Return the arrays of the file of a set, with a few images of noise."""
    generator = np.random.default_rng(seed)
    channels = () if described.channels == 1 else (described.channels,)
    classes = len(described.classes)
    made = {}
    for part, n in COUNTS.items():
        made[f"{part}_images"] = generator.integers(0, 256, (n, size, size, *channels), np.uint8)
        form, end = ((n, classes), 2) if described.several else ((n, 1), classes)
        made[f"{part}_labels"] = generator.integers(0, end, form, np.uint8)
    return made


def packed(made):
    """Return arrays as the bytes of an npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **made)
    return file.getvalue()


@pytest.fixture
def known_as_genuine(monkeypatch):
    """Return a function that writes the file of a set and makes its MD5 count as published."""

    def make(folder, name, size=28, made=None):
        described = SETS[name]
        content = packed(arrays(described, size) if made is None else made)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / described.file(size)[0]).write_bytes(content)
        md5 = hashlib.md5(content).hexdigest()
        monkeypatch.setitem(SETS, name, replace(described, md5s=(md5,) * 4))

    return make


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path):
    """Serve a folder, and yield it with its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()
