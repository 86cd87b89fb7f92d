"""Tests of UMAP, which share one fit because compilation takes long."""

import sys
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import latentkit as lk
from latentkit.builtins.embeddings import umap as umap_module
from latentkit.neighbors import NeighborIndex


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


def test_umap_keeps_neighbours_together_and_reports_its_slow_steps(digits, umap, told):
    assert trustworthiness(digits[0], umap.embedding_, n_neighbors=10) > 0.95
    assert told == [
        (0, 0, "loading umap"),
        (0, 0, "finding neighbours"),
        (0, 0, "compiling umap and optimising"),
    ]
    assert umap.facts_ == {
        "n_neighbors": 15,
        "neighbours": "exact",
        "graph_recall": 1.0,
        "repeatable": True,
        "warnings": [],
    }


def test_umap_does_not_report_files_that_other_code_left_open(monkeypatch):
    class Leaking:
        def __init__(self, **options):
            pass

        def fit_transform(self, vectors):
            warnings.warn("unclosed database", ResourceWarning, stacklevel=2)
            warnings.warn("the graph is odd", stacklevel=2)
            return vectors[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Leaking))
    built = lk.embedding("umap")
    built.fit_transform(np.random.default_rng(0).random((50, 4)).astype(np.float32))
    assert built.facts_["warnings"] == ["the graph is odd"]


def test_umap_reports_when_its_neighbours_are_approximate(monkeypatch):
    class Unfitted:
        def __init__(self, **options):
            pass

        def fit_transform(self, vectors):
            return vectors[:, :2]

    hurried = partial(NeighborIndex, exact_work=1, min_recall=0.8)
    monkeypatch.setattr(umap_module, "NeighborIndex", hurried)
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Unfitted))
    points = np.random.default_rng(0).standard_normal((4_000, 12))
    estimator = lk.embedding("umap")
    estimator.fit(points)
    assert estimator.facts_["neighbours"] == "approximate"
    assert 0.8 <= estimator.facts_["graph_recall"] < 1


def test_umap_gives_the_same_map_for_the_same_seed(digits, umap):
    again = lk.embedding("umap", random_state=5).fit_transform(digits[0].astype(np.float64))
    assert again.tobytes() == umap.embedding_.tobytes()


def test_umap_places_fitted_points_at_their_coordinates_and_new_ones_near_their_class(digits, umap):
    assert np.array_equal(umap.transform(digits[0]), umap.embedding_)
    data = load_digits()
    placed = umap.transform(data.data[500:700])
    nearest = cKDTree(umap.embedding_).query(placed)[1]
    assert (digits[1][nearest] == data.target[500:700]).mean() > 0.8
    assert umap.transform(digits[0][:0]).shape == (0, 2)


def test_umap_lowers_its_neighbours_for_few_points_and_reports_it(digits, umap):
    small = lk.embedding("umap", n_components=3)
    assert np.isfinite(small.fit_transform(digits[0][:9])).all()
    assert small.facts_["n_neighbors"] == 8


def test_umap_in_parallel_reports_that_it_is_not_repeatable(digits, umap):
    estimator = lk.embedding("umap", parallel=True)
    assert np.isfinite(estimator.fit_transform(digits[0][:100])).all()
    assert estimator.facts_["repeatable"] is False
