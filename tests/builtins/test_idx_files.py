"""IDX files are read as downloaded, and damaged ones are refused by name."""

import builtins
import gzip

import numpy as np
import pytest
from torchvision import datasets

import latentkit as lk
from latentkit.builtins.datasets import mnist_family
from latentkit.builtins.datasets.mnist_family import PLACES
from latentkit.errors import BrokenEnvironmentError, DataError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def raw(tmp_path):
    """Return the folder of the IDX files."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    return folder


def load(raw):
    return lk.dataset("fashion-mnist", "train", data=raw.parents[1], mirror="http://127.0.0.1:9")


@pytest.fixture
def genuine(raw, packed, known_as_genuine):
    """Write two files whose checksums are the known ones, and return both arrays."""
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    labels = np.array([3, 1, 4, 1, 5], np.uint8)
    files = {IMAGES: packed(images), LABELS: packed(labels)}
    known_as_genuine(files)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return images, labels


def test_the_content_of_the_files_is_loaded(raw, genuine):
    images, labels = genuine
    data = load(raw)
    assert (data.images[:, 0] == images).all()
    assert data.labels.tolist() == labels.tolist()
    assert data.labels.dtype == np.int64
    assert (data.licence, len(data.class_names)) == ("MIT", 10)


def test_unpacked_files_as_torchvision_leaves_them_are_read(raw, genuine):
    whole = load(raw).digest()
    for path in list(raw.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load(raw).digest() == whole


def test_the_gzipped_file_is_preferred_because_its_checksum_is_known(raw, genuine):
    (raw / IMAGES).with_suffix("").write_bytes(b"something else")
    assert len(load(raw)) == 5


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_file_that_was_changed_on_disk_is_refused(raw, genuine, name):
    content = (raw / name).read_bytes()
    for harmed in (content[:-1], content[:-1] + b"\7", b""):
        (raw / name).write_bytes(harmed)
        with pytest.raises(DataError, match=rf"{name} is damaged: its MD5 is not .*; delete it"):
            load(raw)


def test_a_file_that_cannot_be_read_is_named(raw, genuine):
    (raw / IMAGES).unlink()
    (raw / IMAGES).mkdir()
    with pytest.raises(DataError, match=rf"cannot read .*{IMAGES}: it is a folder, not a file"):
        load(raw)


@pytest.mark.parametrize(
    "harm",
    [lambda file: file[:-9], lambda file: b"no gzip at all", lambda file: file[:-8] + b"\1" * 8],
    ids=["cut short", "no gzip", "wrong check sum inside"],
)
def test_a_broken_gzip_file_is_refused_even_with_the_right_md5(
    raw, genuine, known_as_genuine, harm
):
    files = {name: (raw / name).read_bytes() for name in (IMAGES, LABELS)}
    files[IMAGES] = harm(files[IMAGES])
    known_as_genuine(files)
    (raw / IMAGES).write_bytes(files[IMAGES])
    with pytest.raises(DataError, match=rf"{IMAGES} is not a gzip file"):
        load(raw)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((3, 28, 28), np.uint8), np.zeros(4, np.uint8)),
        (np.zeros((3, 28), np.uint8), np.zeros(3, np.uint8)),
        (np.zeros((3, 28, 28), np.uint8), np.full(3, 10, np.uint8)),
        (np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)),
        (np.zeros((3, 28, 28), np.uint8), np.zeros((3, 1), np.uint8)),
    ],
    ids=["other number", "no images", "other classes", "empty", "labels of two dimensions"],
)
def test_images_and_labels_that_do_not_match_are_refused(raw, packed, images, labels):
    for name, array in ((IMAGES, images), (LABELS, labels)):
        (raw / name).with_suffix("").write_bytes(gzip.decompress(packed(array)))
    with pytest.raises(DataError, match="do not belong together"):
        load(raw)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\0\0\x0d\1\0\0\0\1....", "not an IDX file of bytes"),
        (b"\0\0\x08\1\0\0\0\2.", r"truncated \(9 bytes for an array of"),
        (b"\0\0\x08\1\0\0\0\2...", "truncated"),
        (b"\0\0\x08\3\0\0", "truncated"),
        (b"\0\0\x08\3" + b"\xff" * 12, "truncated"),
    ],
)
def test_a_file_that_is_not_an_idx_file_is_refused(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        mnist_family.parse_idx(content, tmp_path / "x")


@pytest.fixture
def misfit(monkeypatch):
    """Make the import of torchvision fail as if it was built for another torch."""
    real = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("misfit")
def test_an_incompatible_torchvision_is_reported_with_the_fix(raw):
    with pytest.raises(
        BrokenEnvironmentError, match=r"--force-reinstall torch torchvision .*CPU.*--index-url"
    ):
        load(raw)


@pytest.mark.usefixtures("misfit")
def test_local_files_are_loaded_without_torchvision(raw, genuine):
    assert len(load(raw)) == len(genuine[0])


@pytest.mark.parametrize("name", PLACES)
def test_mirrors_and_checksums_equal_those_of_torchvision(name):
    known = getattr(datasets, name)
    assert PLACES[name].mirrors == tuple(known.mirrors)
    assert PLACES[name].md5 == dict(known.resources)
