import json
import pickle

import numba
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.spatial import procrustes
from sklearn.base import clone
from sklearn.datasets import make_s_curve, make_swiss_roll
from sklearn.manifold import Isomap
from sklearn.neighbors import kneighbors_graph
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

import latentkit as lk
from latentkit.builtins.embeddings.isomap import LandmarkIsomap
from latentkit.builtins.embeddings.isomap_graph import shortest_paths, symmetric_graph
from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex, VectorsError


@pytest.fixture(scope="module")
def roll():
    """Return a Swiss roll (1,500, 3), and the positions of its points when unrolled (1,500, 2)."""
    points, along = make_swiss_roll(1_500, random_state=0)
    # Arc length of the spiral r = t.
    length = (along * np.sqrt(1 + along**2) + np.arcsinh(along)) / 2
    return points.astype(np.float32), np.stack([length, points[:, 1]], axis=1)


@pytest.fixture(scope="module")
def severed(roll):
    """Return the roll without a strip across it, and which points are beyond the cut."""
    points, flat = roll
    place = np.quantile(flat[:, 0], 0.6)
    kept = np.abs(flat[:, 0] - place) > 5
    return points[kept], flat[kept, 0] > place


def up_to_sign(ours, theirs):
    return ours * np.sign((ours * theirs).sum(axis=0))


@pytest.mark.parametrize("n_components", [2, 3])
@pytest.mark.parametrize("n_neighbors", [8, 15])
def test_with_all_points_as_landmarks_the_map_equals_scikit_learns_up_to_sign(
    n_components, n_neighbors
):
    points, _ = make_s_curve(600, noise=0.05, random_state=1)
    points = points.astype(np.float32)
    ours = LandmarkIsomap(n_neighbors, n_components).fit(points)
    theirs = Isomap(n_neighbors=n_neighbors, n_components=n_components).fit(points)
    scale = np.ptp(theirs.embedding_)
    assert ours.facts_["method"] == "exact"
    assert np.abs(up_to_sign(ours.embedding_, theirs.embedding_) - theirs.embedding_).max() < (
        1e-4 * scale
    )
    newcomers = make_s_curve(100, noise=0.05, random_state=2)[0].astype(np.float32)
    expected = theirs.transform(newcomers)
    assert np.abs(up_to_sign(ours.transform(newcomers), expected) - expected).max() < 1e-3 * scale


@pytest.mark.parametrize("landmarks", ["auto", 100])
def test_isomap_unrolls_the_swiss_roll(roll, landmarks):
    points, flat = roll
    isomap = LandmarkIsomap(landmarks=landmarks)
    coordinates = isomap.fit_transform(points)
    assert procrustes(flat, coordinates)[2] < 0.01
    assert isomap.facts_["residual_variance"] < 0.01


@pytest.mark.parametrize("choice", ["k-means++", "farthest", "random"])
def test_a_landmark_map_is_close_to_the_exact_one(roll, choice):
    points, _ = roll
    exact = LandmarkIsomap().fit_transform(points)
    isomap = LandmarkIsomap(landmarks=200, landmark_choice=choice)
    assert procrustes(exact, isomap.fit_transform(points))[2] < 2e-4
    assert isomap.facts_["method"] == "landmarks"
    assert isomap.facts_["landmarks"] == len(set(isomap.landmarks_)) == 200


@pytest.mark.parametrize("choice", ["k-means++", "farthest", "random"])
def test_the_reported_landmarks_are_those_used(choice):
    points = np.repeat(np.random.default_rng(0).random((40, 3)), 8, axis=0)
    isomap = LandmarkIsomap(landmarks=100, landmark_choice=choice).fit(points)
    used = np.unique(points[isomap.landmarks_], axis=0)
    assert isomap.facts_["landmarks"] == len(isomap.landmarks_) == len(used) == 40


@pytest.mark.parametrize("disconnected", ["bridge", "largest"])
def test_all_points_of_a_small_component_are_landmarks(disconnected):
    large, small = np.random.default_rng(0).random((2, 60, 3))
    points = np.concatenate([large, small[:30] + 9])
    isomap = LandmarkIsomap(landmarks=80, disconnected=disconnected).fit(points)
    used = {"bridge": 80, "largest": 60}[disconnected]
    assert isomap.facts_["landmarks"] == len(isomap.landmarks_) == used


def test_a_map_of_two_distinct_points_uses_one_axis():
    points = np.repeat(np.random.default_rng(0).random((2, 5)), 6, axis=0)
    placed = LandmarkIsomap(n_components=3, landmarks=4).fit_transform(points)
    assert placed[:, 0].std() > 0
    assert not placed[:, 1:].any()


def test_many_points_are_mapped_by_landmarks(roll):
    points, along = make_s_curve(2_500, random_state=0)
    isomap = LandmarkIsomap()
    coordinates = isomap.fit_transform(points)
    assert isomap.facts_["landmarks"] == 256
    assert abs(np.corrcoef(coordinates[:, 0], along)[0, 1]) > 0.999


@pytest.mark.parametrize("landmarks", ["auto", 150])
def test_transform_returns_training_points_to_their_coordinates(roll, landmarks):
    isomap = LandmarkIsomap(landmarks=landmarks)
    coordinates = isomap.fit_transform(roll[0])
    away = np.abs(isomap.transform(roll[0]) - coordinates).max()
    assert away < 1e-5 * np.ptp(coordinates)


def test_new_points_are_placed_correctly(roll):
    points, flat = roll
    isomap = LandmarkIsomap(landmarks=150)
    old, new = isomap.fit_transform(points[:1_200]), isomap.transform(points[1_200:])
    assert procrustes(flat, np.concatenate([old, new]))[2] < 0.01


def test_a_swiss_roll_in_two_pieces_gets_one_bridge(severed):
    points, beyond = severed
    isomap = LandmarkIsomap()
    coordinates = isomap.fit_transform(points)
    assert isomap.facts_["components"] == 2
    assert isomap.facts_["bridges"] == 1
    gaps = np.linalg.norm(points[beyond][:, None] - points[~beyond][None], axis=2)
    assert isomap.facts_["longest_bridge"] == pytest.approx(gaps.min(), rel=1e-5)
    assert np.isfinite(coordinates).all()


def test_the_largest_component_is_fitted_alone_and_the_rest_transformed(severed):
    points, beyond = severed
    large = beyond if beyond.sum() > (~beyond).sum() else ~beyond
    isomap = LandmarkIsomap(disconnected="largest")
    coordinates = isomap.fit_transform(points)
    alone = LandmarkIsomap().fit(points[large])
    assert isomap.facts_["components"] == 2
    assert isomap.facts_["points_in_graph"] == large.sum()
    assert np.array_equal(coordinates[large], alone.embedding_)
    assert np.array_equal(coordinates[~large], alone.transform(points[~large]))
    assert np.array_equal(isomap.transform(points), coordinates)


def test_a_swiss_roll_in_two_pieces_can_be_refused(severed):
    with pytest.raises(UserError, match="falls into 2 components; raise n_neighbors"):
        LandmarkIsomap(disconnected="error").fit(severed[0])


def test_many_components_are_connected_into_one():
    rng = np.random.default_rng(0)
    centers = rng.uniform(-100, 100, (60, 4))
    points = np.repeat(centers, 20, axis=0) + 0.1 * rng.standard_normal((1_200, 4))
    isomap = LandmarkIsomap(n_neighbors=5)
    coordinates = isomap.fit_transform(points)
    components = connected_components(kneighbors_graph(points, 5), directed=False)[0]
    assert isomap.facts_["components"] == components >= 60
    assert isomap.facts_["bridges"] == components - 1
    assert np.isfinite(coordinates).all()


def test_copies_of_a_point_get_the_same_coordinates():
    points = make_s_curve(300, random_state=0)[0].astype(np.float32)
    copied = np.repeat(points, 15, axis=0)
    isomap = LandmarkIsomap(landmarks=300)
    coordinates = isomap.fit_transform(copied).reshape(300, 15, 2)
    assert np.array_equal(coordinates, np.repeat(coordinates[:, :1], 15, axis=1))
    assert isomap.facts_["points_in_graph"] == 300
    alone = LandmarkIsomap().fit_transform(points)
    assert np.allclose(up_to_sign(coordinates[:, 0], alone), alone, atol=1e-4)


def test_constant_columns_change_nothing(roll):
    points = roll[0][:400]
    wider = np.concatenate([np.full((400, 1), 7.5, np.float32), points], axis=1)
    assert np.array_equal(
        LandmarkIsomap().fit_transform(points), LandmarkIsomap().fit_transform(wider)
    )


def test_float64_and_strided_input_give_the_same_map_and_are_not_changed(roll):
    points = roll[0][:400]
    expected = LandmarkIsomap().fit_transform(points)
    strided = np.asfortranarray(np.repeat(points, 2, axis=0))[::2]
    for same in (points.astype(np.float64), strided):
        before = same.copy()
        assert np.array_equal(LandmarkIsomap().fit_transform(same), expected)
        assert np.array_equal(same, before)


@pytest.mark.parametrize("landmarks", ["auto", 100])
def test_one_seed_gives_one_map_on_any_number_of_threads(roll, landmarks):
    before = numba.get_num_threads()
    maps = []
    try:
        for threads in (1, before, before):
            numba.set_num_threads(threads)
            with threadpool_limits(threads):
                maps.append(LandmarkIsomap(landmarks=landmarks).fit_transform(roll[0]).tobytes())
    finally:
        numba.set_num_threads(before)
    assert maps[0] == maps[1] == maps[2]


def test_another_seed_draws_other_landmarks(roll):
    chosen = [
        set(LandmarkIsomap(landmarks=50, random_state=seed).fit(roll[0]).landmarks_)
        for seed in (0, 1)
    ]
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_a_row_that_is_not_finite_is_named(roll, value, word):
    points = roll[0][:100].copy()
    points[42, 1] = value
    with pytest.raises(VectorsError, match=f"row 42 .* {word}"):
        LandmarkIsomap().fit(points)
    with pytest.raises(VectorsError, match=f"row 42 .* {word}"):
        LandmarkIsomap().fit(roll[0][:100]).transform(points)


def test_too_few_points_are_refused_in_one_line(roll):
    with pytest.raises(UserError, match="10 samples are too few for 10 neighbours") as caught:
        LandmarkIsomap().fit(roll[0][:10])
    assert "\n" not in str(caught.value)
    for n in (1, 2):  # no number of neighbours helps
        with pytest.raises(UserError, match=f"^{n} samples .* give 3 different vectors"):
            LandmarkIsomap(n_neighbors=2).fit(np.arange(48).reshape(-1, 1) % n * np.ones(3))


def test_an_axis_that_the_distances_do_not_support_stays_empty():
    line = np.linspace(0, 1, 64)[:, None] @ np.array([[1.0, 2.0, 2.0]])
    coordinates = LandmarkIsomap(n_neighbors=3, n_components=3).fit_transform(line)
    assert np.ptp(coordinates[:, 0]) == pytest.approx(3, rel=1e-4)
    assert np.abs(coordinates[:, 1:]).max() < 0.01


def test_shortest_paths_equal_those_of_scipy():
    points = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    found = NeighborIndex(points).neighbors(6)
    graph = symmetric_graph(found.indices, found.distances)
    done = []
    ours = shortest_paths(graph, np.array([3, 77, 499]), done.append)
    theirs = shortest_path(kneighbors_graph(points, 6, mode="distance"), directed=False)
    assert np.allclose(ours, theirs[[3, 77, 499]], rtol=1e-5)
    assert done == [3]


def test_progress_reaches_its_total_and_facts_are_json(roll):
    seen = []
    isomap = LandmarkIsomap(landmarks=100)
    isomap.on_progress = lambda done, total, message: seen.append((done, total, message))
    isomap.fit(roll[0])
    messages = list(dict.fromkeys(message for _, _, message in seen))
    assert messages == ["finding neighbours", "distances along the graph", "scaling"]
    assert seen[-1][:2] == (100, 100)
    facts = json.loads(json.dumps(isomap.facts_))
    assert facts["graph_recall"] == 1
    assert facts["landmark_rows"] == isomap.landmarks_.tolist()


def test_a_clone_and_a_pickle_give_the_same_map(roll):
    isomap = LandmarkIsomap(n_neighbors=7, landmarks=80, disconnected="largest")
    assert clone(isomap).get_params() == isomap.get_params()
    isomap.fit(roll[0])
    again = pickle.loads(pickle.dumps(isomap))
    assert np.array_equal(again.transform(roll[0][:50]), isomap.transform(roll[0][:50]))


def test_memory_grows_with_points_times_landmarks():
    estimate = lk.embedding("isomap").estimate
    assert 4 * 256 * 10**6 < estimate(10**6, 16).bytes < 3 * 4 * 256 * 10**6
    assert estimate(70_000, 3).bytes < 1.5e9
    more = lk.embedding("isomap", landmarks=1_024).estimate
    assert more(10**6, 16).bytes > 2 * estimate(10**6, 16).bytes


def test_options_reach_the_estimator_and_are_checked():
    isomap = lk.embedding("isomap", landmarks=64, landmark_choice="farthest", disconnected="error")
    assert isomap.get_params()["landmarks"] == 64
    assert isomap.get_params()["landmark_choice"] == "farthest"
    assert isomap.get_params()["disconnected"] == "error"
    with pytest.raises(UserError, match="landmarks"):
        lk.embedding("isomap", landmarks=2)


@parametrize_with_checks([LandmarkIsomap(n_neighbors=3)])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)
