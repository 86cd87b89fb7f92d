"""EMNIST and CIFAR-10 are read straight from the archives that torchvision names."""

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

import latentkit as lk
from latentkit.errors import DataError, NetworkError
from latentkit.registry.catalogue import default_registry

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def emnist(tmp_path, packed, monkeypatch):
    """Write an archive of a few letters whose checksum is accepted, and return the images."""
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    labels = np.arange(1, 7, dtype=np.uint8)
    path = tmp_path / "EMNIST" / "raw" / "gzip.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "test"):
            stem = f"gzip/emnist-letters-{split}"
            archive.writestr(f"{stem}-images-idx3-ubyte.gz", packed(images))
            archive.writestr(f"{stem}-labels-idx1-ubyte.gz", packed(labels))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr("torchvision.datasets.EMNIST.md5", md5)
    return images


def test_letters_are_upright_and_counted_from_a(emnist, tmp_path):
    data = lk.dataset("emnist", data=tmp_path, partition="letters", mirror=NOWHERE)
    assert (data.images[:, 0] == emnist.transpose(0, 2, 1)).all()
    assert len(data.class_names) == 26
    assert [data.class_names[label] for label in data.labels] == list("abcdef")


def test_a_partition_missing_from_the_archive_is_refused(emnist, tmp_path):
    with pytest.raises(DataError, match="not the archive of EMNIST"):
        lk.dataset("emnist", data=tmp_path, partition="digits", mirror=NOWHERE)


@pytest.mark.parametrize(
    ("name", "file"), [("emnist", "gzip.zip"), ("cifar10", "cifar-10-python.tar.gz")]
)
def test_without_a_network_the_error_names_the_file_its_checksum_and_its_folder(
    tmp_path, name, file
):
    with pytest.raises(NetworkError, match=rf"Put its file into .*: {file} \(MD5 \w{{32}}\)"):
        lk.dataset(name, data=tmp_path, mirror=NOWHERE)


@pytest.mark.parametrize(
    ("name", "described", "file"), [("emnist", "EMNIST", "url"), ("cifar10", "CIFAR10", "filename")]
)
def test_the_expected_file_name_is_that_of_torchvision(name, described, file):
    (looked_for,) = default_registry().get("dataset", name).spec.files
    known = getattr(getattr(datasets, described), file)
    assert Path(looked_for).name == known.rpartition("/")[2]


def make_cifar(path, members, monkeypatch):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr("torchvision.datasets.CIFAR10.tgz_md5", md5)


def batch(n, seed):
    data = np.random.default_rng(seed).integers(0, 256, (n, 3072), np.uint8)
    return {"data": data, "labels": [seed] * n}


def test_the_batches_of_cifar_are_concatenated(tmp_path, monkeypatch):
    batches = {f"data_batch_{n}": batch(2, n) for n in range(1, 6)} | {"test_batch": batch(3, 0)}
    members = {name: pickle.dumps(content, 2) for name, content in batches.items()}
    make_cifar(tmp_path / "cifar-10-python.tar.gz", members, monkeypatch)
    train = lk.dataset("cifar10", data=tmp_path, mirror=NOWHERE)
    assert train.images.shape == (10, 3, 32, 32)
    assert train.labels.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (train.images[2].ravel() == batches["data_batch_2"]["data"][0]).all()
    assert len(lk.dataset("cifar10", "test", data=tmp_path, mirror=NOWHERE)) == 3


def test_a_pickle_that_would_execute_code_is_refused(tmp_path, monkeypatch):
    class Wicked:
        def __reduce__(self):
            return (print, ("executed",))

    members = {"test_batch": pickle.dumps({"data": Wicked()}, 2)}
    make_cifar(tmp_path / "cifar-10-python.tar.gz", members, monkeypatch)
    with pytest.raises(DataError, match="print is not allowed in a file of arrays"):
        lk.dataset("cifar10", "test", data=tmp_path, mirror=NOWHERE)


def test_a_damaged_archive_is_refused_before_it_is_opened(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz is damaged: its MD5"):
        lk.dataset("cifar10", data=tmp_path, mirror=NOWHERE)
