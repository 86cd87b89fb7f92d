import json

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import UserError
from latentkit.evaluation.card_sentences import reading_text
from latentkit.maps.stability import point_stability, rows_of_refit

POINTS = np.random.default_rng(0).normal(size=(60, 2))


def test_five_refits_leave_out_each_point_once():
    left = np.concatenate([np.setdiff1d(np.arange(23), rows_of_refit(23, i, 0)) for i in range(5)])
    assert np.sort(left).tolist() == list(range(23))
    assert rows_of_refit(23, 5, 0).tolist() != rows_of_refit(23, 0, 0).tolist()


def test_points_of_equal_maps_stay_and_a_moved_point_is_found():
    rows = np.arange(50)
    still, kept = point_stability(POINTS, [(rows, POINTS[rows])] * 3)
    assert np.all(still[:50] == 0)
    assert np.all(kept[:50] == 1)
    assert np.isnan(still[50:]).all()
    moved = POINTS.copy()
    moved[7] += 3
    size = np.sqrt(np.square(POINTS - POINTS.mean(0)).sum(1).mean())
    spread, kept = point_stability(POINTS, [(np.arange(60), moved)] * 3)
    assert spread[7] == pytest.approx(np.sqrt(18) / size)
    assert kept[7] < 0.2


def test_a_map_of_one_place_has_no_stability():
    spread, kept = point_stability(np.ones((30, 2)), [(np.arange(30), POINTS[:30])])
    assert np.isnan(spread).all()
    assert np.isnan(kept).all()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    x = np.random.default_rng(0).normal(size=(90, 4))
    x[:45, 0] += 20
    labels = np.arange(90) // 45
    out = tmp_path_factory.mktemp("maps")
    options = {"pca.stability": 3}
    return lk.embed_vectors(x, ["pca"], labels=labels, options=options, out=out), labels


def test_maps_of_vectors_say_how_far_points_move_and_which_islands_are_apart(measured):
    maps, labels = measured
    document, arrays = maps.documents["pca"], maps.arrays["pca"]
    found = document["stability"]
    assert found["refits"] == 3
    assert found["spread"]["median"] < 0.1
    assert arrays["spread"].shape == arrays["neighbours_kept"].shape == (90,)
    assert np.array_equal(arrays["island"] == arrays["island"][0], labels == 0)
    assert [(one["pair"], one["verdict"], one["maps_apart"]) for one in found["pairs"]] == [
        ([1, 2], "apart", 3)
    ]
    assert [one["verdict"] for one in found["classes"]] == ["apart"]
    assert "All 2 islands are apart" in reading_text(document)
    json.dumps(document, allow_nan=False)


def test_the_same_seed_gives_the_same_stability(measured, tmp_path):
    x = np.random.default_rng(0).normal(size=(90, 4))
    x[:45, 0] += 20
    again = lk.embed_vectors(x, ["pca"], options={"pca.stability": 3}, out=tmp_path)
    assert np.array_equal(again.arrays["pca"]["spread"], measured[0].arrays["pca"]["spread"])


def test_too_few_points_or_one_refit_are_refused_before_anything_is_made(tmp_path):
    for options, said in (
        ({"pca.stability": 8}, "stability needs 20 points or more, and the map would have 12"),
        ({"pca.stability": 1}, "should be 0, or 2 or more"),
        ({"pca.stability": 500}, "should be 200 or less"),
    ):
        with pytest.raises(UserError, match=said):
            lk.embed_vectors(np.eye(12), ["pca"], options=options, out=tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def record(trust, spearman, **more):
    figures = {"trustworthiness": trust, "continuity": 0.95, "spearman_correlation": spearman}
    return {"quality": {k: None if v is None else {"value": v} for k, v in figures.items()}, **more}


def test_the_sentence_says_what_may_be_read_and_what_not():
    assert "mean nothing" in reading_text(record(0.97, 0.3))
    assert "mostly near in the latents" in reading_text(record(0.97, 0.3))
    assert "do not rely on single ones" in reading_text(record(0.6, 0.9))
    assert "Longer distances here are longer" in reading_text(record(0.6, 0.9))
    assert "all points of the map" in reading_text(record(0.6, None))
    stability = {
        "refits": 8,
        "spread": {"median": 0.6},
        "islands": [{}] * 3,
        "groups_in_latents": [[0, 2], [1]],
        "pairs": [
            {"pair": [1, 2], "verdict": "touching"},
            {"pair": [1, 3], "verdict": "only on the map"},
            {"pair": [2, 3], "verdict": "apart"},
        ],
    }
    said = reading_text(record(0.97, 0.3, stability=stability))
    assert "where an island lies means nothing" in said
    assert "Islands 1 and 3 are one group in the latents." in said
    assert "Islands 1 and 2 touch in the latents." in said
    assert "All other pairs of the 3 islands are apart" in said


def test_a_map_that_was_told_the_classes_says_so(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    options = {"umap.target": "labels", "umap.n_epochs": 5, "umap.stability": 2}
    maps = lk.embed_vectors(
        x, ["umap"], labels=np.arange(60) % 2, options=options, out=tmp_path / "told"
    )
    document = maps.documents["umap"]
    assert document["stability"]["refits"] == 2
    assert reading_text(document).startswith("The map was told the classes: it cannot show how")
    with pytest.raises(UserError, match="it is asked to use labels, and these points have none"):
        lk.embed_vectors(x, ["umap"], options=options, out=tmp_path / "alone")
