"""Few points are compared without compiled code, with the same results as the compiled search."""

import os
import subprocess
import sys

import numpy as np
import pytest

from latentkit.builtins.embeddings import isomap_graph, isomap_scaling
from latentkit.builtins.embeddings.isomap import LandmarkIsomap
from latentkit.builtins.embeddings.isomap_graph import symmetric_graph
from latentkit.neighbors import NeighborIndex, index


def cloud(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@pytest.fixture
def none_are_few(monkeypatch):
    """Return a function that turns off the path for few points, so that compiled code is used."""

    def compile_all():
        monkeypatch.setattr(index, "MOST_WORK", 0)
        monkeypatch.setattr(index, "MOST_POINTS", 0)
        monkeypatch.setattr(isomap_graph, "_FEW", 0)
        monkeypatch.setattr(isomap_scaling, "_FEW", 0)

    return compile_all


@pytest.mark.parametrize("d", [1, 5, 16, 40, 150])
def test_few_points_get_the_same_neighbours_as_from_the_compiled_search(d, none_are_few):
    points, others = cloud(500, d), cloud(90, d, seed=1)
    found = [NeighborIndex(points).neighbors(9), NeighborIndex(points).query(others, 9)]
    none_are_few()
    expected = [NeighborIndex(points).neighbors(9), NeighborIndex(points).query(others, 9)]
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.indices, theirs.indices)
        assert ours.distances.tobytes() == theirs.distances.tobytes()
        assert ours.recall == theirs.recall == 1


@pytest.mark.parametrize("d", [2, 20])
def test_groups_of_few_points_get_the_same_bridges_as_from_the_compiled_search(d, none_are_few):
    groups = np.random.default_rng(2).integers(0, 9, 400)
    points = cloud(9, d, seed=1)[groups] * 4 + cloud(400, d)
    own, other, lengths = NeighborIndex(points).shortest_bridges(groups)
    none_are_few()
    expected = NeighborIndex(points).shortest_bridges(groups)
    assert np.array_equal(own, expected[0])
    assert np.array_equal(other, expected[1])
    assert lengths.tobytes() == expected[2].tobytes()


def test_points_at_equal_distance_are_sorted_by_index():
    found = NeighborIndex(np.array([[0.0], [1], [-1], [1]])).neighbors(3)
    assert found.indices[0].tolist() == [1, 2, 3]


def test_an_isomap_of_few_points_equals_that_of_the_compiled_code(none_are_few):
    points, others = cloud(300, 4), cloud(30, 4, seed=1)
    ours = LandmarkIsomap().fit(points)
    placed = ours.transform(others)
    none_are_few()
    theirs = LandmarkIsomap().fit(points)
    assert np.allclose(ours.embedding_, theirs.embedding_, atol=1e-4)
    assert np.allclose(placed, theirs.transform(others), atol=1e-4)


def test_paths_of_few_points_equal_those_of_the_compiled_code(none_are_few):
    found = NeighborIndex(cloud(300, 3)).neighbors(4)
    graph = symmetric_graph(found.indices, found.distances)
    sources = np.arange(0, 300, 7)
    ours = isomap_graph.shortest_paths(graph, sources, lambda done: None)
    none_are_few()
    theirs = isomap_graph.shortest_paths(graph, sources, lambda done: None)
    assert ours.tobytes() == theirs.tobytes()


def test_duplicates_among_few_points_leave_the_graph_connected():
    points = cloud(60, 2)
    points[30:35] = points[0]
    estimator = LandmarkIsomap(n_neighbors=8).fit(points)
    assert estimator.facts_["components"] == 1
    assert np.allclose(estimator.embedding_[30:35], estimator.embedding_[0], atol=1e-5)


def test_few_points_are_mapped_and_measured_without_compiling(tmp_path):
    code = """
import numpy as np
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, event): compiled.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event): pass
with event.install_listener("numba:compile", Listener()):
    from latentkit.builtins.embeddings.isomap import LandmarkIsomap
    from latentkit.maps.quality import map_quality
    points = np.random.default_rng(0).random((360, 16)).astype(np.float32)
    points[:90] += 9  # the graph has two components
    map_quality(points, LandmarkIsomap().fit_transform(points), np.arange(360) % 10, seed=0)
print(compiled)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "[]"
