import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

import latentkit as lk
from latentkit.errors import LatentkitError
from latentkit.maps import quality as module
from latentkit.maps import uncompiled_ranks
from latentkit.maps.quality import map_quality

MEANS = ("trustworthiness", "continuity", "auc_r_nx", "knn_accuracy_map", "knn_accuracy_latents")
OF_PAIRS = ("spearman_correlation", "scale_normalised_stress")


def cloud(n, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    vectors = generator.normal(size=(n, 6)) + 4 * np.eye(6)[labels]
    return vectors.astype(np.float32), vectors[:, :2].astype(np.float64), labels


@pytest.fixture(scope="module")
def clouds():
    return cloud(210)


@pytest.fixture
def sampling(monkeypatch):
    monkeypatch.setattr(module, "EXACT_LIMIT", 100)
    monkeypatch.setattr(module, "EXACT_PAIRS_LIMIT", 100)
    monkeypatch.setattr(module, "ANCHORS", 90)
    monkeypatch.setattr(module, "PAIRS", 2_000)


def distance_matrix(points):
    points = points.astype(np.float64)
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def rank_matrix(points):
    """Return each point's ranks of the others from 1, ties by index; the point itself is last."""
    distances = distance_matrix(points)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.argsort(order, axis=1) + 1


def r_nx_curve(high, low):
    """Return k, Q_NX and R_NX for every k from 1 to n - 2, by counting."""
    n = len(high)
    far, near = rank_matrix(high), rank_matrix(low)
    k = np.arange(1, n - 1)
    q = np.array([((far <= size) & (near <= size)).sum() / (size * n) for size in k])
    return k, q, ((n - 1) * q - k) / (n - 1 - k)


def trust_by_counting(high, low, k):
    """Return each point's trustworthiness, after Venna and Kaski."""
    n = len(high)
    far, near = rank_matrix(high), rank_matrix(low)
    excess = np.where(near <= k, np.maximum(far - k, 0), 0).sum(axis=1)
    return 1 - 2 * excess / (k * (2 * n - 3 * k - 1))


def finite_numbers(document):
    return json.loads(json.dumps(document, allow_nan=False))


def test_trustworthiness_and_continuity_equal_scikit_learns(clouds):
    vectors, coordinates, labels = clouds
    found = map_quality(vectors, coordinates, labels, n_neighbors=7)
    expected = trustworthiness(vectors, coordinates, n_neighbors=7)
    assert found.trustworthiness.value == pytest.approx(expected, abs=1e-9)
    reverse = trustworthiness(coordinates, vectors, n_neighbors=7)
    assert found.continuity.value == pytest.approx(reverse, abs=1e-9)
    assert found.trustworthiness.standard_error == 0


def test_the_trustworthiness_of_each_point_is_kept(clouds):
    vectors, coordinates, _ = clouds
    found = map_quality(vectors, coordinates, None, n_neighbors=7)
    expected = trust_by_counting(vectors, coordinates, 7)
    assert found.point_trustworthiness == pytest.approx(expected, abs=1e-6)
    assert "point_trustworthiness" not in found.as_dict()


@pytest.mark.parametrize("most", [0, 1e6])
def test_every_point_has_a_trustworthiness_where_other_figures_are_sampled(
    clouds, sampling, monkeypatch, most
):
    monkeypatch.setattr(uncompiled_ranks, "MOST", most)
    vectors, coordinates, _ = clouds
    found = map_quality(vectors, coordinates, None, n_neighbors=7)
    expected = trust_by_counting(vectors, coordinates, 7)
    assert found.n_anchors == 90
    assert found.point_trustworthiness == pytest.approx(expected, abs=1e-6)
    assert found.trustworthiness.value == pytest.approx(expected.mean(), abs=1e-9)
    assert found.trustworthiness.standard_error == 0


def test_points_beyond_the_work_allowed_are_a_sample(clouds, sampling, monkeypatch):
    monkeypatch.setattr(uncompiled_ranks, "MOST", 0)
    vectors, coordinates, _ = clouds
    monkeypatch.setattr(module, "TRUST_WORK", 50 * vectors.size)
    found = map_quality(vectors, coordinates, None, n_neighbors=7, threads=2)
    seen = np.isfinite(found.point_trustworthiness)
    assert seen.sum() == 50
    expected = trust_by_counting(vectors, coordinates, 7)
    assert found.point_trustworthiness[seen] == pytest.approx(expected[seen], abs=1e-6)
    error = found.trustworthiness.standard_error
    assert 0 < abs(found.trustworthiness.value - expected.mean()) < 4 * error


def test_neighbourhood_preservation_equals_counting(clouds):
    vectors, coordinates, _ = clouds
    _, q, r = r_nx_curve(vectors, coordinates)
    found = map_quality(vectors, coordinates, None).neighbourhood_preservation
    assert [row.k for row in found] == [1, 2, 5, 10, 20, 50, 100, 200]
    for row in found:
        assert row.q_nx.value == pytest.approx(q[row.k - 1], abs=1e-12)
        assert row.r_nx.value == pytest.approx(r[row.k - 1], abs=1e-12)


def test_the_area_averages_r_nx_over_every_k_weighted_by_1_over_k(clouds):
    vectors, coordinates, _ = clouds
    k, _, r = r_nx_curve(vectors, coordinates)
    found = map_quality(vectors, coordinates, None).auc_r_nx
    assert found.value == pytest.approx((r / k).sum() / (1 / k).sum(), abs=1e-12)


def test_distance_correlation_is_spearmans_rank_correlation_of_all_pairs(clouds):
    vectors, coordinates, _ = clouds
    upper = np.triu_indices(len(vectors), 1)
    expected = spearmanr(distance_matrix(vectors)[upper], distance_matrix(coordinates)[upper])
    found = map_quality(vectors, coordinates, None)
    assert found.spearman_correlation.value == pytest.approx(expected.statistic, abs=1e-9)
    assert found.n_pairs == 210 * 209 / 2


def test_tied_distances_share_their_mean_rank():
    grid = np.indices((6, 6)).reshape(2, -1).T.astype(float)
    rounded = grid // 2
    upper = np.triu_indices(36, 1)
    expected = spearmanr(distance_matrix(grid)[upper], distance_matrix(rounded)[upper])
    found = map_quality(grid, rounded, None).spearman_correlation
    assert found.value == pytest.approx(expected.statistic, abs=1e-9)


def test_stress_is_taken_at_the_scale_that_minimises_it(clouds):
    vectors, coordinates = (points[:40] for points in clouds[:2])
    upper = np.triu_indices(40, 1)
    x, y = distance_matrix(vectors)[upper], distance_matrix(coordinates)[upper]
    scales = np.linspace(0, 3, 3001)
    tried = np.sqrt(((x - scales[:, None] * y) ** 2).sum(axis=1) / (x**2).sum())
    found = map_quality(vectors, 1e6 * coordinates, None).scale_normalised_stress
    assert found.value == pytest.approx(tried.min(), abs=1e-5)


def test_neighbour_accuracy_excludes_the_point_itself(clouds):
    vectors, coordinates, labels = clouds
    found = map_quality(vectors, coordinates, 10 - labels, n_neighbors=5)
    for space, estimate in (
        (coordinates, found.knn_accuracy_map),
        (vectors.astype(float), found.knn_accuracy_latents),
    ):
        model = KNeighborsClassifier(5)
        hits = [
            model.fit(np.delete(space, i, 0), np.delete(10 - labels, i)).predict(space[[i]])[0]
            == 10 - labels[i]
            for i in range(len(space))
        ]
        assert estimate.value == pytest.approx(np.mean(hits), abs=1e-9)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_perfect_map_is_perfect_and_a_random_one_is_not(clouds, dimensions):
    vectors, _, labels = clouds
    perfect = map_quality(vectors[:, :dimensions], vectors[:, :dimensions] * 4 + 1, labels)
    assert perfect.trustworthiness.value == 1
    assert perfect.continuity.value == 1
    assert perfect.auc_r_nx.value == pytest.approx(1)
    assert perfect.spearman_correlation.value == pytest.approx(1)
    assert perfect.scale_normalised_stress.value == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(1).normal(size=(210, dimensions))
    random = map_quality(vectors, noise, labels)
    assert 0.4 < random.trustworthiness.value < 0.6
    assert abs(random.auc_r_nx.value) < 0.05


@pytest.mark.parametrize("name", [*MEANS, *OF_PAIRS])
def test_sampled_figures_scatter_around_the_exact_ones(name, monkeypatch):
    clouds = cloud(600)
    exact = getattr(map_quality(*clouds), name).value
    for limit, value in (("EXACT_LIMIT", 100), ("EXACT_PAIRS_LIMIT", 100), ("ANCHORS", 150)):
        monkeypatch.setattr(module, limit, value)
    monkeypatch.setattr(module, "PAIRS", 2_000)
    monkeypatch.setattr(module, "TRUST_WORK", 150 * clouds[0].size)
    monkeypatch.setattr(uncompiled_ranks, "MOST", 0)
    found = [getattr(map_quality(*clouds, seed=seed), name) for seed in range(40)]
    values = np.array([estimate.value for estimate in found])
    error = np.mean([estimate.standard_error for estimate in found])
    assert np.abs(values - exact).max() < 4.5 * error
    assert abs(values.mean() - exact) < 4 * error / np.sqrt(40)
    # The spread of 40 draws is off by more than a third only once in hundreds of times.
    assert 0.67 < values.std(ddof=1) / error < 1.4


def test_preservation_is_unbiased_at_every_k(sampling):
    clouds = cloud(210)
    _, q, r = r_nx_curve(*clouds[:2])
    draws = [map_quality(*clouds, seed=seed).neighbourhood_preservation for seed in range(30)]
    for rows in zip(*draws, strict=True):
        for name, exact in (("q_nx", q), ("r_nx", r)):
            found = [getattr(row, name) for row in rows]
            error = np.mean([estimate.standard_error for estimate in found])
            mean = np.mean([estimate.value for estimate in found])
            assert abs(mean - exact[rows[0].k - 1]) < 4 * error / np.sqrt(30)


def test_the_same_seed_gives_the_same_figures_with_any_number_of_threads(clouds, sampling):
    one = map_quality(*clouds, seed=3, threads=1)
    three = map_quality(*clouds, seed=3, threads=3)
    assert one == three
    assert np.array_equal(one.point_trustworthiness, three.point_trustworthiness, equal_nan=True)
    assert map_quality(*clouds, seed=4) != one


def test_duplicate_points_rank_in_the_order_of_their_rows():
    generator = np.random.default_rng(0)
    vectors = generator.integers(0, 3, size=(80, 4)).astype(np.float32)
    coordinates = generator.integers(0, 4, size=(80, 2)).astype(np.float64)
    found = map_quality(vectors, coordinates, None, n_neighbors=6)
    expected = trust_by_counting(vectors, coordinates, 6)
    assert found.point_trustworthiness == pytest.approx(expected, abs=1e-6)
    k, _, r = r_nx_curve(vectors, coordinates)
    assert found.auc_r_nx.value == pytest.approx((r / k).sum() / (1 / k).sum(), abs=1e-12)


def test_an_exact_map_of_duplicate_points_is_perfect():
    vectors = np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 4, axis=0)
    found = map_quality(vectors, vectors, None)
    assert found.trustworthiness.value == found.continuity.value == 1
    assert found.auc_r_nx.value == pytest.approx(1)


def test_a_map_of_one_point_has_full_stress_and_no_correlation(clouds):
    vectors, _, labels = clouds
    found = map_quality(vectors, np.ones((210, 2)), labels)
    assert found.scale_normalised_stress.value == 1
    assert found.spearman_correlation is None
    assert 0.3 < found.trustworthiness.value < 0.7
    assert abs(found.auc_r_nx.value) < 0.1
    finite_numbers(found.as_dict())


@pytest.mark.parametrize("sampled", [False, True])
def test_identical_latents_have_no_stress_and_no_correlation(sampled, request):
    if sampled:
        request.getfixturevalue("sampling")
    coordinates = np.random.default_rng(0).normal(size=(150, 2))
    found = map_quality(np.zeros((150, 3)), coordinates, None)
    assert found.scale_normalised_stress is None
    assert found.spearman_correlation is None
    finite_numbers(found.as_dict())


def test_a_map_with_a_single_outlier_has_finite_errors(clouds, sampling):
    vectors, _, labels = clouds
    coordinates = np.zeros((210, 2))
    coordinates[7] = 1
    finite_numbers(map_quality(vectors, coordinates, labels).as_dict())


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_scale_of_a_map_does_not_matter(clouds, scale):
    vectors, coordinates, _ = clouds
    here, there = (map_quality(vectors, s * coordinates, None) for s in (1.0, scale))
    assert there.trustworthiness == here.trustworthiness
    assert there.scale_normalised_stress.value == pytest.approx(here.scale_normalised_stress.value)


def test_single_precision_and_views_give_the_same_figures(clouds):
    vectors, coordinates, labels = clouds
    double = map_quality(vectors.astype(np.float64), coordinates, labels)
    assert map_quality(np.asfortranarray(vectors), coordinates[:, ::-1], labels) == double


def test_few_points_get_a_smaller_neighbourhood_and_too_few_are_refused():
    points = np.random.default_rng(0).normal(size=(9, 2))
    found = map_quality(points, points, None, n_neighbors=10)
    assert found.n_neighbors == 4
    assert [row.k for row in found.neighbourhood_preservation] == [1, 2, 5]
    smallest = map_quality(points[:5], points[:5], None)
    assert smallest.auc_r_nx.value == pytest.approx(1)
    with pytest.raises(ValueError, match="5 points or more"):
        map_quality(points[:4], points[:4], None)


def test_coordinates_that_are_not_finite_are_refused():
    points = np.random.default_rng(0).normal(size=(9, 2))
    for wrong in (np.nan, np.inf):
        broken = points.copy()
        broken[3, 1] = wrong
        with pytest.raises(ValueError, match="finite"):
            map_quality(points, broken, None)


def test_without_labels_there_is_no_accuracy(clouds):
    found = map_quality(clouds[0], clouds[1], None)
    assert found.knn_accuracy_map is None
    assert found.knn_accuracy_latents is None


def test_a_map_of_any_tool_is_measured_in_one_call():
    x = np.random.default_rng(0).normal(size=(60, 5))
    words = np.array(["left", "right"])[(x[:, 0] > 0).astype(int)]
    found = lk.map_quality(x.tolist(), x[:, :2], words, n_neighbors=5)
    own = map_quality(
        x.astype(np.float32), x[:, :2].astype(np.float32), words == "right", n_neighbors=5
    )
    assert found == own
    assert np.array_equal(found.point_trustworthiness, own.point_trustworthiness)


@pytest.mark.parametrize(
    ("coordinates", "labels", "more", "why"),
    [
        (np.zeros((8, 4)), None, {}, "2 or 3 coordinates for each point, not 4"),
        (np.zeros((7, 2)), None, {}, "given are 8 vectors, 7 coordinates"),
        (np.full((8, 2), np.nan), None, {}, "coordinates"),
        (np.zeros((8, 2)), [1, 2], {}, "labels"),
        (np.zeros((8, 2)), None, {"n_neighbors": 0}, "n_neighbors is 0: give 1 or more"),
        (np.zeros((8, 2)), None, {"seed": -1}, "seed is -1: give 0 or more"),
    ],
)
def test_a_map_that_cannot_be_measured_is_refused_in_one_line(coordinates, labels, more, why):
    with pytest.raises(LatentkitError, match=why):
        lk.map_quality(np.eye(8), coordinates, labels, **more)
