"""Small files in the layouts of torchvision, from a local server: splits, labels, faults."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import tarfile
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

import latentkit as lk
from latentkit.errors import DataError, NetworkError, UserError
from latentkit.plugin.downloads import no_downloads
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases
from latentkit_torchvision.sets import SETS

PIXELS = np.random.default_rng(0).integers(0, 256, (18, 3, 32, 32), np.uint8)
FOLDER = tempfile.TemporaryDirectory(prefix="latentkit-torchvision-")


def md5(content):
    return hashlib.md5(content).hexdigest()


def cifar_files():
    """Return the files of CIFAR-100 with 12 training and 6 test images."""
    names = [f"thing {i}" for i in range(100)]
    made = {"meta": pickle.dumps({"fine_label_names": names})}
    for name, rows in (("train", slice(12)), ("test", slice(12, 18))):
        values = PIXELS[rows]
        labels = [i % 3 for i in range(len(values))]
        content = {"data": values.reshape(len(values), -1), "fine_labels": labels}
        made[name] = pickle.dumps(content)
    return made


def as_cifar(monkeypatch, folder, address):
    """Write the archive of CIFAR-100 and make its checksums count as published."""
    files, archive = cifar_files(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (folder / "cifar.tar.gz").write_bytes(archive.getvalue())
    kind = datasets.CIFAR100
    monkeypatch.setattr(kind, "url", f"{address}/cifar.tar.gz")
    monkeypatch.setattr(kind, "tgz_md5", md5(archive.getvalue()))
    monkeypatch.setattr(kind, "train_list", [["train", md5(files["train"])]])
    monkeypatch.setattr(kind, "test_list", [["test", md5(files["test"])]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(files["meta"])})


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


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that loads a set in folders of the test's own."""
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))

    def get(dataset, split="train", **options):
        return lk.dataset("torchvision", split, data=tmp_path / "data", dataset=dataset, **options)

    return get


def test_a_set_is_downloaded_once_verified_and_kept_at_its_size(
    load, served, monkeypatch, tmp_path
):
    as_cifar(monkeypatch, *served)
    train, test = load("CIFAR100"), load("CIFAR100", "test")
    assert (train.images == PIXELS[:12]).all()
    assert (test.images == PIXELS[12:]).all()
    assert train.labels.tolist() == [0, 1, 2] * 4
    assert train.class_names[:2] == ("thing 0", "thing 1")
    assert len(train.class_names) == 100
    assert "CIFAR100: torchvision compares the MD5 of its files each time it is opened" in (
        train.notes
    )
    monkeypatch.setattr(datasets.CIFAR100, "url", "http://127.0.0.1:9/none")
    with no_downloads("torchvision"):
        again = load("CIFAR100")
    assert again.images_sha256 == train.images_sha256
    assert load("CIFAR100", size=16, channels="grey").image_shape == (1, 16, 16)
    (tmp_path / "data/torchvision/CIFAR100/cifar-100-python/train").write_bytes(b"half")
    with pytest.raises(DataError, match=r"does not have CIFAR100 as torchvision expects it"):
        load("CIFAR100")


def test_a_download_that_fails_or_must_not_be_made_leaves_nothing(
    load, served, monkeypatch, tmp_path
):
    as_cifar(monkeypatch, *served)
    with (
        no_downloads("torchvision", {"dataset": "CIFAR100"}),
        pytest.raises(
            DataError, match=r"lacks CIFAR100 .*data verify torchvision -o torchvision\."
        ),
    ):
        load("CIFAR100")
    monkeypatch.setattr(datasets.CIFAR100, "tgz_md5", "0" * 32)
    with pytest.raises(NetworkError, match="CIFAR100 could not be downloaded") as raised:
        load("CIFAR100")
    assert "\n" not in str(raised.value)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.suffix != ".lock"][1:]


def eurosat(folder, sizes=((64, 64),)):
    """Write 10 images of two classes as EuroSAT has them."""
    for row in range(10):
        place = folder / "eurosat/2750" / ("Forest", "River")[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", sizes[row % len(sizes)], (row, 90, 90)).save(place / f"{row}.png")


def test_a_set_without_a_test_split_is_divided_by_class(load, tmp_path):
    eurosat(tmp_path / "mine")
    train, test = (load("EuroSAT", split, root=str(tmp_path / "mine")) for split in SPLITS)
    assert (len(train), len(test)) == (8, 2)
    assert train.class_names == ("Forest", "River")
    assert test.labels.tolist() == [0, 1]
    reds = [*train.images[:, 0, 0, 0].tolist(), *test.images[:, 0, 0, 0].tolist()]
    assert sorted(reds) == [*range(10)]
    assert [red % 2 for red in reds] == [*train.labels, *test.labels]


SPLITS = ("train", "test")


def test_a_given_validation_split_is_used(load, tmp_path):
    folder = tmp_path / "mine/rendered-sst2"
    for part, n in (("train", 4), ("valid", 2), ("test", 3)):
        for row in range(n):
            place = folder / part / ("negative", "positive")[row % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (50, 40), (row, 9, 9)).save(place / f"{row}.png")
    data = load("RenderedSST2", root=str(tmp_path / "mine"), size=16)
    assert data.image_shape == (3, 16, 16)
    assert data.validation.tolist() == [4, 5]
    assert data.class_names == ("negative", "positive")


def test_every_set_is_one_of_torchvision_and_takes_its_arguments():
    import inspect

    for name, described in SETS.items():
        known = inspect.signature(getattr(datasets, name).__init__).parameters
        for arguments in described.splits.values():
            assert set(arguments) | set(described.others) <= set(known), name
        assert {"download", "kwargs"} & set(known) or not described.downloads, name


def test_what_is_no_classification_set_or_is_missing_is_refused(load, tmp_path):
    with pytest.raises(UserError, match=r"torchvision\.dataset=NAME"):
        load("")
    with pytest.raises(UserError, match=r"no set 'CIFAR101' \(did you mean 'CIFAR10"):
        load("CIFAR101")
    with pytest.raises(UserError, match="CocoDetection is not offered as images with one class"):
        load("CocoDetection")
    with pytest.raises(UserError, match=r"EMNIST .*--dataset emnist"):
        load("EMNIST")
    with pytest.raises(DataError, match=r"does not download ImageNet: .*torchvision\.root=DIR"):
        load("ImageNet")
    with pytest.raises(DataError, match="there is no folder"):
        load("DTD", root=str(tmp_path / "no"))
    with pytest.raises(DataError, match="does not have DTD as torchvision expects it"):
        load("DTD", root=str(tmp_path))


eurosat(Path(FOLDER.name))
CASES = part_cases(
    "latentkit-torchvision",
    kind="dataset",
    options={"torchvision": {"dataset": "EuroSAT", "root": FOLDER.name, "size": 16}},
    data=Path(FOLDER.name),
    registry=Registry(find_plugins()),
)


@pytest.mark.parametrize("case", CASES)
def test_the_contract(case):
    case()
