"""Arrays of NumPy, HDF5 and Zarr files: names, large arrays, and what is refused or said."""

import json

import numpy as np
import pytest

import latentkit as lk
from latentkit.builtins.datasets import npz
from latentkit.errors import DataError

h5py = pytest.importorskip("h5py", reason="pip install h5py to test HDF5")
zarr = pytest.importorskip("zarr", reason="pip install zarr to test Zarr")

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 6, 7), np.uint8)
NAMES = np.array(["cat", "dog"] * 10)
KINDS = ["npz", "h5", "zarr"]


@pytest.fixture
def save(tmp_path):
    """Return a function that saves arrays in a file of a kind, and returns its path."""

    def write(kind, **arrays):
        path = tmp_path / f"a.{kind}"
        if kind == "npz":
            np.savez(path, **arrays)
        elif kind == "h5":
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    text = np.asarray(array).dtype.kind == "U"
                    file[name] = np.asarray(array).astype("S") if text else array
        else:
            group = zarr.open_group(str(path), mode="w", zarr_format=2)
            for name, array in arrays.items():
                group.create_array(name, data=np.asarray(array))
        return path

    return write


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep images in a cache of the test's own, and treat all arrays as large."""
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(npz, "_LARGE", 0)
    return tmp_path / "cache"


def load(path, split="train", **options):
    return lk.dataset("npz", split, path=str(path), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_has_the_same_names(save, kind):
    arrays = {"x_train": PIXELS[:12], "y_train": NAMES[:12], "x_test": PIXELS[12:]}
    path = save(kind, **arrays, y_test=NAMES[12:])
    train, test = load(path), load(path, "test")
    assert (train.images[:, 0] == PIXELS[:12]).all()
    assert (test.images[:, 0] == PIXELS[12:]).all()
    assert train.class_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 1] * 6
    assert len(train.checksum) == 64
    assert train.notes == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["label", "y", "Y", "targets", "target"])
def test_obvious_names_of_labels_are_labels_and_the_rest_is_named(save, kind, name):
    path = save(kind, images=PIXELS, **{name: NAMES, "more": np.zeros((3, 2))})
    data = load(path)
    assert data.class_names == ("cat", "dog")
    assert data.notes == ("arrays in the file that are not used: more (3, 2)",)


def test_labels_beside_images_that_have_their_own_are_named(save):
    path = save("npz", x_train=PIXELS[:10], x_test=PIXELS[10:], labels=NAMES)
    assert load(path).notes == ("arrays in the file that are not used: labels (20,)",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("values", "options"),
    [
        (PIXELS, {}),
        (PIXELS.astype(np.float32) / 255, {}),
        (PIXELS.astype(np.int16), {"range": "data"}),
        (PIXELS.astype(np.int32), {"range": "10..200", "depth": 8}),
        (np.stack([PIXELS] * 3, 3), {"channels": "grey"}),
        (np.stack([PIXELS, PIXELS // 2], 3), {"channels": "1,0"}),
    ],
)
def test_large_arrays_stay_on_the_disk_and_give_the_same_images(
    save, kind, values, options, cache, monkeypatch
):
    kind = "npy" if kind == "npz" else kind
    if kind == "npy":
        path = cache.parent / "a.npy"
        np.save(path, values)
    else:
        path = save(kind, images=values)
    for split in ("train", "test"):
        large = load(path, split, **options)
        assert isinstance(large.images, np.memmap)
        with monkeypatch.context() as patch:
            patch.setattr(npz, "_LARGE", 2**30)
            small = load(path, split, **options)
        assert (large.images == small.images).all()
        assert large.images.dtype == small.images.dtype
        assert large.images_sha256
        assert [n for n in large.notes if "clipped" not in n] == [
            n for n in small.notes if "clipped" not in n
        ]


@pytest.mark.parametrize("kind", ["h5", "zarr"])
def test_large_training_and_validation_images_are_joined(save, kind, cache):
    path = save(kind, x_train=PIXELS[:12], x_val=PIXELS[12:15] // 2, x_test=PIXELS[15:])
    train, test = load(path), load(path, "test")
    assert (train.images[:, 0] == np.concatenate([PIXELS[:12], PIXELS[12:15] // 2])).all()
    assert train.validation.tolist() == [12, 13, 14]
    assert (test.images[:, 0] == PIXELS[15:]).all()


@pytest.mark.parametrize("kind", ["h5", "zarr"])
def test_a_large_array_is_converted_once_and_again_if_it_changes(save, kind, cache, monkeypatch):
    path = save(kind, images=PIXELS.astype(np.float32), labels=NAMES)
    first = load(path, range="0..200")
    assert any("were clipped" in note for note in first.notes)
    with monkeypatch.context() as patch:
        patch.setattr(npz, "converted", None)  # nothing is converted
        again = load(path, range="0..200")
    assert (again.images_sha256, again.notes) == (first.images_sha256, first.notes)
    save(kind, images=255 - PIXELS.astype(np.float32), labels=NAMES)
    assert load(path, range="0..200").images_sha256 != first.images_sha256


def test_large_images_that_cannot_be_kept_are_read_into_memory(save, cache):
    cache.write_text("a file in place of the folder")
    data = load(save("h5", images=PIXELS.astype(np.float32), labels=NAMES), range="0..100")
    assert len(data) == 16
    assert [note for note in data.notes if "cannot be kept" in note]
    assert [note for note in data.notes if "were clipped" in note]


def test_nan_in_a_large_array_is_named_by_its_row(save, cache):
    values = PIXELS.astype(np.float32)
    values[13, 2, 3] = np.nan
    with pytest.raises(DataError, match="image 13 holds NaN"):
        load(save("h5", x_train=PIXELS, x_test=values), "test", range="0..255")


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        ([True, False], [0, 1], "y_train holds bool, y_test holds numbers"),
        (["a", "b"], [0, 1], "y_train holds text, y_test holds numbers"),
        ([0, 1], [[0, 1], [1, 0]], "y_train holds numbers, y_test holds one-hot rows of 2"),
        ([0, 1], [0.5, 1], "y_test: label 0 is 0.5"),
        ([0, 1, 2], [0, 1], r"y_train: labels \(3,\) for 2 images"),
    ],
)
def test_labels_that_do_not_fit_together_are_refused_by_name(save, train, test, reason):
    arrays = {"x_train": PIXELS[:2], "y_train": train, "x_test": PIXELS[2:4], "y_test": test}
    with pytest.raises(DataError, match=reason):
        load(save("npz", **arrays))


def test_wrong_labels_of_a_drawn_set_are_named(save):
    with pytest.raises(DataError, match=r"targets: labels \(5,\) for 20 images"):
        load(save("npz", images=PIXELS, targets=np.arange(5)))


def test_hdf5_files_that_lead_elsewhere_or_are_damaged_are_refused(save, tmp_path):
    save("h5", images=PIXELS)
    (tmp_path / "raw").write_bytes(PIXELS.tobytes())
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["images"] = h5py.ExternalLink("a.h5", "images")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("images", PIXELS.shape, "u1", external=str(tmp_path / "raw"))
    cut = (tmp_path / "a.h5").read_bytes()[:-200]
    (tmp_path / "cut.h5").write_bytes(cut)
    (tmp_path / "no.h5").write_bytes(b"something else")
    for name, reason in {
        "link.h5": "it holds nothing, expected",
        "raw.h5": "images lies in another file",
        "cut.h5": "cannot be read, or is damaged",
        "no.h5": "is not an HDF5 file",
    }.items():
        with pytest.raises(DataError, match=reason) as raised:
            load(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_zarr_codecs_that_could_execute_code_are_refused(save):
    path = save("zarr", images=PIXELS)
    described = path / "images" / ".zarray"
    content = json.loads(described.read_text())
    described.write_text(json.dumps({**content, "compressor": {"id": "pickle"}}))
    with pytest.raises(DataError, match="names the codec 'pickle', which is not used"):
        load(path)
    described.write_text("{")
    with pytest.raises(DataError, match=r"\.zarray is damaged"):
        load(path)


def test_a_folder_that_is_no_zarr_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(DataError, match="not a Zarr array or group"):
        load(tmp_path / "a.zarr")


def test_a_zarr_array_without_a_name_is_read(tmp_path):
    zarr.create_array(str(tmp_path / "one.zarr"), data=PIXELS)
    assert len(load(tmp_path / "one.zarr")) == 16


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_has_moved_is_found_by_its_name_in_the_folder_of_data_sets(
    save, tmp_path, kind
):
    path = save(kind, images=PIXELS)
    before = load(path)
    (tmp_path / "data").mkdir()
    path.rename(tmp_path / "data" / path.name)
    after = load(path, data=tmp_path / "data")
    np.testing.assert_array_equal(after.images, before.images)
    assert f"no {path}: the images of {tmp_path / 'data' / path.name} are" in after.notes[0]
    with pytest.raises(DataError, match=path.name):
        load(path, data=tmp_path)
