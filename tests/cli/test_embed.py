import json

import numpy as np
import pytest

import latentkit as lk
from latentkit.maps.alignment import align

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]


@pytest.fixture
def vectors(latentkit, tmp_path):
    """Return a file with 200 vectors of two classes in the working folder."""
    labels = np.repeat([0, 1], 100)
    values = np.random.default_rng(0).normal(size=(200, 5)) + 2 * labels[:, None]
    path = tmp_path / "here" / "mine.npz"
    np.savez(path, vectors=values, labels=labels)
    return path


def test_vectors_from_a_file_are_mapped_into_their_own_folder(latentkit, vectors):
    ended = latentkit("embed", "mine.npz", "--embed", "pca", "--embed", "isomap", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    folder = vectors.parent / found["path"]
    assert folder.parent == vectors.parent / "maps"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{suffix}" for name in ("pca", "isomap") for suffix in ("npz", "json", "png")
    }
    assert np.load(folder / "isomap.npz")["coordinates"].shape == (200, 2)
    record = json.loads((folder / "pca.json").read_text())
    assert record == found["maps"]["pca"]
    assert record["source"]["file"] == "mine.npz"
    assert record["quality"]["knn_accuracy_map"]["value"] > 0.95


def test_the_summary_shows_the_quality_and_the_path_of_the_picture(latentkit, vectors):
    ended = latentkit("embed", "mine.npz", "--embed", "pca")
    assert "Map pca" in ended.out
    assert "trustworthiness" in ended.out
    assert "(vectors " in ended.out
    assert "pca.png" in ended.out
    assert "latentkit resume" not in ended.err


def test_a_number_maps_that_many_points_and_more_than_exist_are_refused(latentkit, vectors):
    ended = latentkit("embed", "mine.npz", "--embed", "pca", "--on", "50", "--json")
    assert json.loads(ended.out)["maps"]["pca"]["n_points"] == 50
    ended = latentkit("embed", "mine.npz", "--embed", "pca", "--on", "500")
    assert ended.code == 2
    assert "a map of 500 points is not possible: there are only 200" in ended.error


def test_one_seed_gives_one_map(latentkit, vectors):
    found = [
        latentkit("embed", "mine.npz", "--embed", "isomap", "--on", "150", "--quiet").out.strip()
        for _ in range(2)
    ]
    first, second = ((vectors.parent / path / "isomap.npz").read_bytes() for path in found)
    assert first == second
    assert found[0] != found[1]


def test_raw_pixels_are_mapped(latentkit):
    ended = latentkit("embed", "--dataset", "digits", "--embed", "pca", "--json")
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)["maps"]["pca"]
    assert record["n_points"] == 360
    assert "(pixels " in latentkit("embed", "--dataset", "digits", "--embed", "pca").out
    ended = latentkit("embed", "--dataset", "digits", "--embed", "pca", "--on", "all", "--json")
    assert json.loads(ended.out)["maps"]["pca"]["n_points"] == 1797


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embed", "pca"], "say what to map: a run, a .npy or .npz file, or --dataset NAME"),
        (["mine.npz", "--embed", "pac"], "did you mean 'pca'"),
        (["absent.npy", "--embed", "pca"], "cannot read absent.npy"),
        (["mine.npz", "--embed", "pca", "--on", "train"], "a file of vectors has no splits"),
        (["mine.npz", "--embed", "pca", "-o", "model.latent_dim=3"], "only options of the embedd"),
        (["mine.npz", "--embed", "pca", "--align-to", "x"], "--align-to works only for maps"),
        (["--dataset", "digits", "--embed", "pca", "--on", "tset"], "no split 'tset'"),
    ],
)
def test_input_that_cannot_be_mapped_is_refused_in_one_line(latentkit, vectors, arguments, message):
    ended = latentkit("embed", *arguments)
    assert ended.code in (2, 4), ended
    assert message in ended.error


def test_other_splits_of_a_run_get_their_own_maps(latentkit, finished):
    for on, count in (("train", 1150), ("all", 1797), ("300", 300)):
        ended = latentkit("embed", finished, "--embed", "pca", "--on", on)
        assert ended.code == 0, ended.err
        run = lk.open(finished)
        assert run.coordinates(f"pca-{on}").shape == (count, 2)
    assert run.maps == ["pca", "pca-300", "pca-all", "pca-train"]
    index, splits = run.map_index("pca-300")
    assert set(splits) == {"train", "validation", "test"}
    assert len(index) == 300
    assert (finished / "figures" / "map-pca-all.png").exists()


def test_more_points_than_a_run_has_are_refused(latentkit, finished):
    ended = latentkit("embed", finished, "--embed", "pca", "--on", "1798")
    assert ended.code == 2
    assert "a map of 1,798 points is not possible: there are only 1,797" in ended.error


def test_a_map_is_aligned_to_another_one(latentkit, finished):
    before = lk.open(finished).coordinates("pca")
    ended = latentkit("embed", finished, "--embed", "isomap", "--align-to", "#pca")
    assert ended.code == 0, ended.err
    run = lk.open(finished)
    after = run.coordinates("isomap")
    found = align(after, before)
    assert np.allclose(found.rotation, np.eye(2), atol=1e-6)
    assert found.scale == pytest.approx(1)
    record = json.loads((finished / "embeddings" / "isomap.json").read_text())
    assert record["aligned_to"]["n_points"] == 360
    assert record["aligned_to"]["disparity"] == pytest.approx(found.disparity)


def test_maps_of_different_images_are_aligned_by_the_images_that_they_share(latentkit, finished):
    ended = latentkit("embed", finished, "--embed", "pca", "--on", "all", "--align-to", "#pca")
    assert ended.code == 0, ended.err
    record = json.loads((finished / "embeddings" / "pca-all.json").read_text())
    assert record["aligned_to"]["n_points"] == 360
    assert record["aligned_to"]["map"].endswith("#pca")


def test_aligning_to_a_map_that_does_not_exist_is_refused(latentkit, finished):
    ended = latentkit("embed", finished, "--embed", "isomap", "--align-to", "#tsne")
    assert ended.code == 2
    assert "there is no map 'tsne' to align it to" in ended.error
