"""All sets, loaded by the real code from a local server: contract, splits, labels, faults."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import DataError, NetworkError, UserError
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases
from latentkit_medmnist.sets import SETS

from .conftest import COUNTS, arrays

NOWHERE = "http://127.0.0.1:9"
FOLDER = tempfile.TemporaryDirectory(prefix="latentkit-medmnist-")
CACHE = Path(FOLDER.name)
CASES = part_cases("latentkit-medmnist", data=CACHE, registry=Registry(find_plugins()))


@pytest.mark.parametrize("case", CASES)
def test_the_contract(case, known_as_genuine):
    known_as_genuine(CACHE / "MedMNIST", case.subject.spec.name)
    case()


@pytest.fixture
def load(served, known_as_genuine, tmp_path):
    """Return a function that downloads a set from the local server and loads it."""
    folder, address = served

    def get(name, split="train", size=28, made=None, **options):
        known_as_genuine(folder, name, size, made)
        options = {"mirror": address, "size": size, **options}
        return lk.dataset(name, split, data=tmp_path / "cache", **options)

    return get


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_downloaded_once_and_equals_the_contents_of_its_file(name, load, tmp_path):
    described, expected = SETS[name], arrays(SETS[name])
    for split in ("train", "test"):
        data = load(name, split)
        images = expected[f"{split}_images"].reshape(-1, 28, 28, described.channels)
        assert np.array_equal(data.images, images.transpose(0, 3, 1, 2))
        assert data.licence == described.licence
        assert re.fullmatch(r"[0-9a-f]{64}", data.checksum)
        if not described.several:
            assert np.array_equal(data.labels, expected[f"{split}_labels"][:, 0])
            assert data.class_names == described.classes
    assert [file.name for file in (tmp_path / "cache").rglob("*.*")] == [f"{name}.npz"]
    again = lk.dataset(name, "test", data=tmp_path / "cache", mirror=NOWHERE)
    assert again.digest() == data.digest()


@pytest.mark.parametrize("size", [64, 128, 224])
def test_larger_images_have_separate_files(size, load, tmp_path):
    data = load("bloodmnist", size=size)
    assert data.image_shape == (3, size, size)
    assert (tmp_path / "cache" / "MedMNIST" / f"bloodmnist_{size}.npz").exists()


def test_validation_images_are_left_out_or_joined_to_training_and_never_in_test(load):
    expected = arrays(SETS["breastmnist"])
    left_out = load("breastmnist")
    joined = load("breastmnist", validation="join")
    assert (len(left_out), len(joined)) == (COUNTS["train"], COUNTS["train"] + COUNTS["val"])
    assert np.array_equal(joined.images[: len(left_out)], left_out.images)
    assert np.array_equal(joined.images[len(left_out) :, 0], expected["val_images"])
    assert np.array_equal(joined.labels[len(left_out) :], expected["val_labels"][:, 0])
    for rule in ("leave-out", "join"):
        assert len(load("breastmnist", "test", validation=rule)) == COUNTS["test"]


def test_x_rays_with_several_findings_form_a_separate_class(load):
    made = arrays(SETS["chestmnist"])
    made["train_labels"][:] = 0
    made["train_labels"][1, 3] = 1
    made["train_labels"][2, 13] = 1
    made["train_labels"][3, [0, 5]] = 1
    data = load("chestmnist", made=made)
    named = [data.class_names[label] for label in data.labels[:5]]
    several = "several findings"
    assert named == ["no finding", "infiltration", "hernia", several, "no finding"]
    assert len(data.class_names) == 16
    either = load("chestmnist", made=made, labels="any")
    assert either.class_names == ("no finding", "any finding")
    assert either.labels[:5].tolist() == [0, 1, 1, 1, 0]


def without(key):
    def harm(made):
        del made[key]

    return harm


def as_float(made):
    made["train_images"] = made["train_images"] / 255


def beyond_the_classes(made):
    made["train_labels"][0] = 8


def too_few_labels(made):
    made["train_labels"] = made["train_labels"][1:]


def grey(made):
    made["train_images"] = made["train_images"][..., 0]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (without("train_images"), "train_images"),
        (without("train_labels"), "train_labels"),
        (as_float, r"images are float64 .* expected uint8"),
        (grey, r"images are uint8 \(12, 28, 28, 1\), expected"),
        (beyond_the_classes, r"labels are not all in 0\.\.7"),
        (too_few_labels, r"labels are \(11, 1\), expected \(12, 1\)"),
    ],
)
def test_a_file_with_missing_or_invalid_arrays_is_refused_in_one_line(load, harm, reason):
    made = arrays(SETS["bloodmnist"])
    harm(made)
    with pytest.raises(DataError, match=rf"bloodmnist\.npz .*{reason}") as raised:
        load("bloodmnist", made=made)
    assert "\n" not in str(raised.value)


def test_a_download_that_differs_from_the_published_file_is_not_kept(served, tmp_path):
    folder, address = served
    (folder / "pathmnist.npz").write_bytes(b"something else")
    with pytest.raises(NetworkError, match=r"pathmnist.npz \(MD5 a8b06965200029087d5bd730944a56c1"):
        lk.dataset("pathmnist", data=tmp_path / "cache", mirror=address)
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "MedMNIST" / "octmnist.npz"
    path.parent.mkdir()
    path.write_bytes(b"half")
    with pytest.raises(DataError, match=r"octmnist.npz is damaged: its MD5 is not c68d92d5"):
        lk.dataset("octmnist", data=tmp_path, mirror=NOWHERE)


def test_without_a_network_the_message_names_the_file_its_md5_and_its_folder(tmp_path):
    with pytest.raises(NetworkError) as raised:
        lk.dataset("dermamnist", data=tmp_path, mirror=NOWHERE, size=64)
    place = tmp_path / "MedMNIST"
    wanted = f"Put its file into {place}: dermamnist_64.npz (MD5 b70a2f5635c6199aeaa28c31d7202e1f)"
    assert wanted in str(raised.value)


def test_a_size_that_is_not_published_is_refused(tmp_path):
    with pytest.raises(UserError, match="size"):
        lk.dataset("pathmnist", data=tmp_path, size=32)


def test_all_files_have_different_md5s():
    files = [described.file(size) for described in SETS.values() for size in (28, 64, 128, 224)]
    assert len(files) == 48
    assert len({md5 for _, md5 in files}) == len({name for name, _ in files}) == 48
    assert all(re.fullmatch(r"[0-9a-f]{32}", md5) for _, md5 in files)


def test_the_facts_equal_those_of_the_medmnist_package():
    info = pytest.importorskip("medmnist.info", reason="pip install --no-deps medmnist to compare")
    for name, described in SETS.items():
        stated = info.INFO[name]
        assert list(described.classes) == list(stated["label"].values())
        assert described.channels == stated["n_channels"]
        assert described.md5s == tuple(stated[f"MD5{s}"] for s in ("", "_64", "_128", "_224"))
