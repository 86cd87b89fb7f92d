"""UMAP: one fit, shared, for it compiles long."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import latentkit as lk


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    vectors = data.data[:500].astype(np.float32)
    vectors[7] = vectors[3]
    return vectors, data.target[:500]


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def umap(digits, told):
    estimator = lk.embedding("umap", random_state=5)
    estimator.on_progress = lambda *call: told.append(call)
    return estimator.fit(digits[0])


def test_umap_keeps_neighbours_together_and_tells_what_takes_long(digits, umap, told):
    assert trustworthiness(digits[0], umap.embedding_, n_neighbors=10) > 0.95
    assert told == [
        (0, 0, "loading umap"),
        (0, 0, "finding neighbours"),
        (0, 0, "compiling umap and optimising"),
    ]
    assert umap.facts_ == {
        "n_neighbors": 15,
        "neighbours": "exact",
        "repeatable": True,
        "warnings": [],
    }


def test_umap_repeats_by_its_seed(digits, umap):
    again = lk.embedding("umap", random_state=5).fit_transform(digits[0].astype(np.float64))
    assert again.tobytes() == umap.embedding_.tobytes()


def test_umap_places_old_points_on_their_places_and_new_ones_by_their_class(digits, umap):
    assert np.array_equal(umap.transform(digits[0]), umap.embedding_)
    data = load_digits()
    placed = umap.transform(data.data[500:700])
    nearest = cKDTree(umap.embedding_).query(placed)[1]
    assert (digits[1][nearest] == data.target[500:700]).mean() > 0.8
    assert umap.transform(digits[0][:0]).shape == (0, 2)


def test_umap_makes_do_with_few_points_and_says_so(digits, umap):
    small = lk.embedding("umap", n_components=3)
    assert np.isfinite(small.fit_transform(digits[0][:9])).all()
    assert small.facts_["n_neighbors"] == 8


def test_umap_in_parallel_says_that_it_does_not_repeat(digits, umap):
    estimator = lk.embedding("umap", parallel=True)
    assert np.isfinite(estimator.fit_transform(digits[0][:100])).all()
    assert estimator.facts_["repeatable"] is False
