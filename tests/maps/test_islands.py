"""Verdicts on constructed data: what is apart in the vectors, and what only on the map."""

import numpy as np
import pytest
from sklearn.datasets import make_swiss_roll

import latentkit as lk
from latentkit.maps.gaps import gap_between
from latentkit.maps.islands import compare_pairs, connected, find_islands, groups_in_latents

RNG = np.random.default_rng


def two_clouds(distance, n=600, d=10):
    x = RNG(0).normal(size=(n, d))
    first = np.arange(n) % 2 == 0
    x[first, 0] += distance
    return x.astype(np.float32), first


def rings(n=2400):
    rng = RNG(0)
    which = np.arange(n) % 3
    radius, angle = which + 1 + rng.normal(0, 0.03, n), rng.random(n) * 2 * np.pi
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), which


def torn(x, pieces):
    """Return a map on which pieces of ``x`` lie far apart, and look like islands."""
    return np.asarray(x)[:, :2] + 30 * np.stack([pieces % 3, pieces // 3], 1)


def verdicts(x, y, islands=None):
    islands = find_islands(y, seed=0) if islands is None else islands
    return compare_pairs(x, y, islands, seed=0), islands


@pytest.mark.parametrize(
    ("distance", "expected"), [(0, {"joined"}), (2, {"joined"}), (8, {"apart"}), (12, {"apart"})]
)
@pytest.mark.parametrize("d", [2, 16, 64])
def test_clouds_are_apart_from_a_distance_that_hardly_depends_on_the_dimension(
    distance, expected, d
):
    x, first = two_clouds(distance, d=d)
    assert gap_between(x[first], x[~first], RNG(0)).kind in expected


def test_clouds_that_touch_are_not_apart_and_their_gap_is_between():
    x, first = two_clouds(4.5)
    found = gap_between(x[first], x[~first], RNG(0))
    assert 0.05 < found.value < 0.6
    assert found.kind in ("touching", "not decided")
    assert found.low < found.value < found.high


def test_a_cloud_that_tsne_breaks_into_islands_is_one_group():
    x = RNG(0).normal(size=(300, 2)).astype(np.float32)
    y = lk.embedding("tsne", perplexity=5, random_state=0).fit_transform(x)
    pairs, islands = verdicts(x, y)
    assert islands.max() >= 1
    assert "apart" not in {one.verdict for one in pairs}
    assert groups_in_latents(pairs, islands.max() + 1) == [list(range(islands.max() + 1))]


def test_two_clear_clusters_are_apart_on_the_map_and_in_the_vectors():
    x, first = two_clouds(9)
    pairs, islands = verdicts(x, torn(x[:, 1:], first.astype(int)))
    assert [one.verdict for one in pairs] == ["apart"]
    assert np.array_equal(islands == islands[0], first == first[0])


def test_rings_are_apart_and_the_halves_of_each_only_on_the_map():
    x, ring = rings()
    halves = 2 * ring + (x[:, 0] > 0)
    pairs, _ = verdicts(x, torn(x, halves), halves)
    assert len(pairs) == 15
    for one in pairs:
        same = one.first // 2 == one.second // 2
        assert one.verdict == ("only on the map" if same else "apart"), one


def test_a_swiss_roll_in_pieces_is_one_piece():
    x, along = make_swiss_roll(1000, noise=0.3, random_state=1)
    pieces = np.searchsorted(np.quantile(along, [0.25, 0.5, 0.75]), along)
    pairs, islands = verdicts(x, torn(x, 2 * pieces))
    assert islands.max() == 3
    assert groups_in_latents(pairs, 4) == [[0, 1, 2, 3]]


@pytest.mark.parametrize("d", [2, 8])
def test_no_pieces_of_uniform_noise_are_apart(d):
    x = RNG(0).random((600, d))
    pieces = 2 * (x[:, 0] > 0.5) + (x[:, 1] > 0.5)
    pairs, _ = verdicts(x, torn(x, pieces), pieces)
    assert {one.verdict for one in pairs} == {"only on the map"}


def test_clusters_that_the_map_lays_over_each_other_are_only_in_the_vectors():
    x, first = two_clouds(12)
    (one,), _ = verdicts(x, x[:, 1:3].astype(np.float64), first.astype(np.int64))
    assert one.verdict == "only in the latents"
    assert one.maps_apart is None


def test_a_map_without_gaps_or_extent_or_points_is_one_island():
    cloud = RNG(0).normal(size=(500, 2))
    for map_ in (cloud, np.zeros((50, 2)), cloud[:4], np.repeat(cloud[:5], 10, axis=0)[:, :1]):
        islands = find_islands(map_, seed=0)
        assert compare_pairs(map_, map_, np.zeros(len(map_), np.int64), 0) == []
        assert islands.shape == (len(map_),)
    assert find_islands(cloud, seed=0).max() == 0


def test_equal_points_have_no_gap_and_two_places_have_the_largest():
    same = np.zeros((30, 5))
    assert gap_between(same, same, RNG(0)).value == 0
    assert gap_between(same, same + 1, RNG(0)).kind == "apart"


def test_groups_follow_links_through_others():
    assert connected(5, [(3, 4), (0, 3)]).tolist() == [0, 1, 2, 0, 0]
