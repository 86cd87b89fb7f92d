import warnings

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import DataError, UserError
from latentkit.maps.vector_maps import pixels, read_labels, read_vectors
from latentkit.plugin import ImageData

VALUES = np.random.default_rng(0).normal(size=(6, 4))


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_a_npy_file_holds_only_the_vectors(tmp_path):
    path = tmp_path / "z.npy"
    np.save(path, VALUES)
    vectors = read_vectors(path)
    assert vectors.values.dtype == np.float32
    assert np.allclose(vectors.values, VALUES)
    assert vectors.labels is None
    assert len(vectors.source["sha256"]) == 64


def test_the_latents_file_of_a_run_is_read_with_its_labels(tmp_path):
    labels = np.array([3, 3, 7, 7, 9, 9])
    path = saved(tmp_path / "test.npz", latents=VALUES, index=np.arange(6), labels=labels)
    vectors = read_vectors(path)
    assert np.allclose(vectors.values, VALUES)
    assert vectors.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert vectors.class_names == ["3", "7", "9"]


def test_the_only_wide_array_needs_no_name(tmp_path):
    path = saved(tmp_path / "own.npz", whatever=VALUES, y=["a", "b", "a", "b", "a", "b"])
    vectors = read_vectors(path)
    assert np.allclose(vectors.values, VALUES)
    assert vectors.class_names == ["a", "b"]


def test_two_wide_arrays_are_refused_with_a_list_of_them(tmp_path):
    path = saved(tmp_path / "own.npz", one=VALUES, two=VALUES)
    with pytest.raises(DataError, match=r"one \(6, 4\), two \(6, 4\): call the array .* 'vectors'"):
        read_vectors(path)


def test_images_are_flattened_and_bytes_become_0_to_1(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.full((3, 2, 2), 255, np.uint8))
    assert read_vectors(path).values.tolist() == [[1.0] * 4] * 3


def test_the_pixels_of_a_data_set_are_read_as_vectors():
    images = ImageData(np.zeros((2, 1, 8, 8), np.uint8), np.array([0, 1]), ("a", "b"))
    vectors = pixels(images, {"images": "two"})
    assert vectors.values.shape == (2, 64)
    assert vectors.class_names == ("a", "b")


def test_a_row_that_is_not_finite_is_named(tmp_path):
    path = tmp_path / "z.npy"
    values = VALUES.copy()
    values[4, 1] = np.nan
    np.save(path, values)
    with pytest.raises(
        DataError, match=r"1 of 6 rows have NaN or infinite values, the first is row 4"
    ):
        read_vectors(path)


def test_labels_of_another_length_are_refused(tmp_path):
    path = saved(tmp_path / "own.npz", X=VALUES, y=[1, 2])
    with pytest.raises(DataError, match=r"labels \(2,\) for 6 vectors: give one label per vector"):
        read_vectors(path)


def test_labels_may_be_in_a_separate_file(tmp_path):
    np.save(tmp_path / "y.npy", [1, 2])
    assert read_labels(tmp_path / "y.npy").tolist() == [1, 2]
    assert read_labels(saved(tmp_path / "y.npz", targets=[3])).tolist() == [3]
    with pytest.raises(DataError, match="holds other: call the array 'labels'"):
        read_labels(saved(tmp_path / "z.npz", other=[3]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(5), r"holds float64 \(5,\), expected numbers of shape"),
        (np.zeros((0, 3)), r"holds float64 \(0, 3\)"),
        (np.array([["a", "b"]]), r"holds <U1 \(1, 2\)"),
    ],
)
def test_an_array_that_is_not_a_table_of_numbers_is_refused(tmp_path, content, message):
    np.save(tmp_path / "z.npy", content)
    with pytest.raises(DataError, match=message):
        read_vectors(tmp_path / "z.npy")


def test_damaged_missing_and_pickled_files_are_refused(tmp_path):
    (tmp_path / "z.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"is neither an .npz|arrays of objects"):
        read_vectors(tmp_path / "z.npy")
    with pytest.raises(DataError, match="cannot read"):
        read_vectors(tmp_path / "absent.npz")
    np.save(tmp_path / "o.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"is neither an .npz|arrays of objects"):
        read_vectors(tmp_path / "o.npy")
    with pytest.raises(UserError, match=r"neither \.npy nor \.npz"):
        read_vectors(tmp_path / "z.csv")


def test_too_few_vectors_are_refused_before_a_folder_is_made(tmp_path):
    np.save(tmp_path / "v.npy", VALUES[:4])
    with pytest.raises(UserError, match="a map needs 5 points or more and would have 4: give more"):
        lk.embed_vectors(tmp_path / "v.npy", ["pca"], out=tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    np.save(tmp_path / "z.npy", VALUES)
    np.save(tmp_path / "y.npy", [0, 1, 0, 1, 0, 1])
    maps = lk.embed_vectors("~/z.npy", ["pca"], labels="~/y.npy", out="~/maps")
    assert maps.path.parent == tmp_path / "maps"


def test_a_name_that_the_font_lacks_is_a_notice_and_not_a_warning(tmp_path):
    events = []
    labels = ["猫", "犬", "猫", "犬", "猫", "犬"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lk.embed_vectors(VALUES, ["pca"], labels=labels, out=tmp_path, listener=events.append)
    notices = [event.message for event in events if getattr(event, "code", "") == "library-warning"]
    assert any("missing from font" in notice for notice in notices)
