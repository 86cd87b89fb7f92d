import os
import subprocess
import sys

import numba
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex, VectorsError, index

pytestmark = pytest.mark.early


@pytest.fixture(autouse=True, scope="module")
def no_points_are_few():
    """Always search with the compiled code; test_few.py covers the code for few points."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(index, "MOST_WORK", 0)
        patched.setattr(index, "MOST_POINTS", 0)
        yield


def brute_force(points, queries, k, leave_out_self):
    squares = np.square(queries[:, None].astype(np.float64) - points[None]).sum(axis=2)
    if leave_out_self:
        np.fill_diagonal(squares, np.inf)
    indices = np.argsort(squares, axis=1)[:, :k]
    return indices, np.sqrt(np.take_along_axis(squares, indices, axis=1))


def cloud(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) * np.geomspace(1, 0.2, d)).astype(np.float32)


@pytest.mark.parametrize("d", [1, 2, 3, 8, 16, 17, 40])
def test_neighbours_equal_those_of_brute_force(d):
    points = cloud(700, d)
    found = NeighborIndex(points).neighbors(12)
    indices, distances = brute_force(points, points, 12, leave_out_self=True)
    assert np.array_equal(found.indices, indices)
    assert np.allclose(found.distances, distances, rtol=1e-5)
    assert found.distances.dtype == np.float32
    assert found.recall == 1


def test_neighbours_among_many_columns_are_as_near_as_those_of_brute_force():
    points = cloud(700, 300)  # so many columns that float32 swaps neighbours of nearly one distance
    found = NeighborIndex(points).neighbors(12)
    _, distances = brute_force(points, points, 12, leave_out_self=True)
    assert np.allclose(found.distances, distances, rtol=1e-5)
    true = np.linalg.norm(points[found.indices] - points[:, None], axis=2)
    assert np.allclose(found.distances, true, rtol=1e-5)


@pytest.mark.parametrize("apart", [0, 30, 3_000])
def test_neighbours_in_groups_far_apart_are_those_of_brute_force(apart):
    points = cloud(2_500, 40)
    points[:, :3] += apart * np.random.default_rng(1).integers(-1, 2, (2_500, 3))
    found = NeighborIndex(points).neighbors(8)
    _, distances = brute_force(points, points, 8, leave_out_self=True)
    assert np.allclose(found.distances, distances, rtol=1e-4)
    true = np.linalg.norm(points[found.indices] - points[:, None], axis=2)
    assert np.allclose(found.distances, true, rtol=1e-4)


@pytest.mark.parametrize("d", [3, 30])
def test_new_points_find_their_nearest_neighbours_in_the_set(d):
    points, others = cloud(900, d), cloud(300, d, seed=1) + 0.5
    found = NeighborIndex(points).query(others, 7)
    indices, distances = brute_force(points, others, 7, leave_out_self=False)
    assert np.array_equal(found.indices, indices)
    assert np.allclose(found.distances, distances, rtol=1e-5)


@given(
    n=st.integers(2, 200),
    d=st.integers(1, 20),
    grid=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30)
def test_distances_are_exact_among_many_duplicates_and_ties(n, d, grid, seed):
    points = np.random.default_rng(seed).integers(0, grid, (n, d)).astype(np.float32)
    k = min(9, n - 1)
    found = NeighborIndex(points).neighbors(k)
    assert np.allclose(found.distances, brute_force(points, points, k, True)[1], rtol=1e-5)
    to_found = np.linalg.norm(points[:, None] - points[found.indices], axis=2)
    assert np.allclose(to_found, found.distances, rtol=1e-5)
    assert (found.indices != np.arange(n)[:, None]).all()
    assert all(len(set(row)) == k for row in found.indices.tolist())


def test_a_thousand_copies_of_one_point_are_neighbours_at_distance_zero():
    found = NeighborIndex(np.full((1_000, 5), 2.5)).neighbors(10)
    assert not found.distances.any()
    assert (found.indices != np.arange(1_000)[:, None]).all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_squares_out_of_range_of_float32_do_not_change_the_result(size):
    points = cloud(300, 4)
    small, large = NeighborIndex(points), NeighborIndex(points * np.float32(size))
    assert np.array_equal(small.neighbors(5).indices, large.neighbors(5).indices)
    expected = small.neighbors(5).distances.astype(np.float64) * size
    assert np.allclose(large.neighbors(5).distances, expected, rtol=1e-4, atol=0)


def test_any_array_like_matrix_is_accepted_and_not_modified():
    points = cloud(200, 6)
    expected = NeighborIndex(points).neighbors(4)
    fortran = np.asfortranarray(points.astype(np.float64))
    strided = np.repeat(points, 2, axis=0)[::2]
    constant = np.concatenate([points, np.full((200, 2), 0.5, np.float32)], axis=1)
    read_only = points.copy()
    read_only.setflags(write=False)
    for same in (fortran, strided, constant, read_only, points.tolist()):
        assert np.array_equal(NeighborIndex(same).neighbors(4).indices, expected.indices)
    assert np.array_equal(points, cloud(200, 6))


@pytest.mark.parametrize("d", [4, 24])
def test_the_number_of_threads_changes_nothing(d):
    points = cloud(1_500, d)
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(NeighborIndex(points).neighbors(10))
    finally:
        numba.set_num_threads(before)
    assert found[0].indices.tobytes() == found[1].indices.tobytes()
    assert found[0].distances.tobytes() == found[1].distances.tobytes()


def test_an_approximate_search_reports_its_true_recall():
    points = np.random.default_rng(0).standard_normal((6_000, 12)).astype(np.float32)
    exact = NeighborIndex(points).neighbors(10)
    index = NeighborIndex(points, exact_work=1, min_recall=0.8)
    early = index.neighbors(10)
    share = np.mean(
        [len(set(a) & set(b)) / 10 for a, b in zip(exact.indices, early.indices, strict=True)]
    )
    assert 0.8 <= share < 1
    assert early.recall == pytest.approx(share, abs=0.01)
    again = NeighborIndex(points, exact_work=1, min_recall=0.8).neighbors(10)
    assert np.array_equal(early.indices, again.indices)


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (1e39, "infinity")]
)
def test_a_value_that_is_not_finite_is_refused_with_its_row(value, word):
    points = cloud(50, 3).astype(np.float64)
    points[31, 1] = value
    with np.errstate(over="ignore"), pytest.raises(VectorsError, match=rf"row 31 .* {word}"):
        NeighborIndex(points)


def test_asking_for_too_many_neighbours_says_how_many_there_are():
    index = NeighborIndex(cloud(10, 2))
    with pytest.raises(UserError, match="ask for 9 or fewer"):
        index.neighbors(10)
    with pytest.raises(UserError, match="ask for 10 or fewer"):
        index.query(cloud(3, 2), 11)
    with pytest.raises(VectorsError, match="3 columns, expected 2"):
        index.query(cloud(3, 3), 2)


@pytest.mark.parametrize("count", [3, 12, 60], ids=lambda count: f"{900 // count} a group")
@pytest.mark.parametrize(("spread", "d"), [(0.05, 3), (1, 3), (10, 3), (1, 20)])
def test_each_smaller_group_finds_its_shortest_bridge(count, spread, d):
    rng = np.random.default_rng(0)
    centers = rng.uniform(-20, 20, (count, d))
    groups = rng.integers(0, count, 900)
    points = (centers[groups] + spread * rng.standard_normal((900, d))).astype(np.float32)
    own, other, lengths = NeighborIndex(points).shortest_bridges(groups)
    asked = np.delete(np.arange(count), np.bincount(groups).argmax())
    assert np.array_equal(groups[own], asked)
    assert (groups[other] != asked).all()
    assert np.linalg.norm(points[own] - points[other], axis=1) == pytest.approx(lengths, rel=1e-5)
    for group, length in zip(asked, lengths, strict=True):
        inside, outside = points[groups == group], points[groups != group]
        assert length == pytest.approx(brute_force(outside, inside, 1, False)[1].min(), rel=1e-5)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(50, int), "at least two"),
        (np.arange(50) * 2, "without gaps"),
        (np.arange(49), "for each of 50 points"),
        (np.arange(50) - 1, "whole number from 0"),
        (np.full(50, 0.5), "whole number from 0"),
    ],
)
def test_groups_that_cannot_be_joined_are_refused(groups, message):
    with pytest.raises(UserError, match=message):
        NeighborIndex(cloud(50, 3)).shortest_bridges(groups)


def test_a_second_process_compiles_nothing(tmp_path):
    code = """
import numpy as np
from latentkit.neighbors import NeighborIndex
from latentkit.neighbors.search import search
NeighborIndex(np.random.default_rng(0).random((3_000, 4))).neighbors(5)
print(sum(search.stats.cache_hits.values()), sum(search.stats.cache_misses.values()))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    counts = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert counts == [["0", "1"], ["1", "0"]]


@pytest.mark.parametrize("exponent", [-132, -60, 60, 110])
def test_distances_are_right_over_the_whole_range_of_float32(exponent):
    points = cloud(300, 4)
    scaled = NeighborIndex(np.ldexp(points, exponent)).neighbors(5)
    found = NeighborIndex(points).neighbors(5)
    assert np.array_equal(scaled.indices, found.indices)
    # Below 2^-126, float32 has fewer digits.
    assert np.allclose(np.ldexp(scaled.distances, -exponent), found.distances, rtol=1e-3)


@pytest.mark.parametrize("few", [False, True])
def test_a_query_from_very_far_away_has_a_finite_distance(few, monkeypatch):
    if few:
        monkeypatch.setattr(index, "MOST_WORK", 1e8)
        monkeypatch.setattr(index, "MOST_POINTS", 2_048)
    queries = np.array([[1e30, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = NeighborIndex(cloud(300, 3)).query(queries, 3)
    assert np.allclose(found.distances[0], 1e30)
    assert found.distances[1].max() < 1


def test_what_is_no_array_is_refused_in_one_line():
    in_a_graph = torch.ones(4, 2, requires_grad=True)
    for wrong in (scipy.sparse.eye(5).tocsr(), [[1, 2], [3]], in_a_graph):
        with pytest.raises(VectorsError) as refused:
            NeighborIndex(wrong)
        assert "\n" not in str(refused.value)


def test_the_search_reports_its_progress_and_can_be_ended():
    points, told = cloud(3000, 8), []
    found = NeighborIndex(points).neighbors(5, lambda *call: told.append(call))
    assert len(told) > 3
    assert told[-1] == (3000, 3000)
    assert told == sorted(told)
    assert np.array_equal(found.indices, brute_force(points, points, 5, leave_out_self=True)[0])

    def end(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NeighborIndex(points).neighbors(5, end)
