"""``latentkit maps``, and maps of a run with their stability."""

import json

import numpy as np

import latentkit as lk


def test_one_map_is_shown_with_what_may_be_read_from_it(latentkit, finished):
    ended = latentkit("maps", "last", "--figure", "maps.png")
    assert ended.code == 0
    assert "Which map for what" in ended.out
    assert "there is no other to compare it with" in " ".join(ended.out.split())
    assert "Stability is not measured for pca" in ended.out
    assert (finished.parents[1] / "maps.png").read_bytes()[:4] == b"\x89PNG"


def test_a_map_of_a_run_gets_its_stability_and_is_the_same_map(latentkit, finished):
    before = lk.open(finished).coordinates("pca")
    assert latentkit("embed", "last", "--embed", "pca", "--stability", "2").code == 0
    run = lk.open(finished)
    assert np.array_equal(run.coordinates("pca"), before)
    assert "Fitted 2 times again" in run.summary["maps"]["pca"]["reading"]
    assert "map-pca-errors" in run.figures
    assert {"spread", "neighbours_kept", "island"} <= set(run._map_arrays("pca"))
    found = json.loads(latentkit("maps", "last", "--for", "distances", "--json").out)
    assert list(found["recommended"]) == ["distances"]
    (row,) = found["maps"]
    assert 0 <= row["moved"] < 0.5
    assert row["places"]
    assert found["recommended"]["distances"]["map"] == "pca"
    assert found["note"] == ""


def test_wrong_questions_and_files_are_refused(latentkit, finished):
    ended = latentkit("maps", "last", "--figure", "maps.jpg")
    assert (ended.code, "should end in .png or .svg" in ended.error) == (2, True)
    assert latentkit("maps", "last", "--for", "beauty").code == 2
    ended = latentkit("embed", "last", "--embed", "pca", "--stability", "1")
    assert (ended.code, "should be 0, or 2 or more" in ended.error) == (2, True)
