import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from latentkit.evaluation import map_quality as module
from latentkit.evaluation.map_quality import map_quality


@pytest.fixture(scope="module")
def clouds():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 70)
    vectors = generator.normal(size=(210, 6)) + 4 * np.eye(6)[labels]
    return vectors.astype(np.float32), vectors[:, :2].astype(np.float64), labels


def test_trustworthiness_and_continuity_are_scikit_learns(clouds):
    vectors, coordinates, labels = clouds
    found = map_quality(vectors, coordinates, labels, n_neighbors=7)
    expected = trustworthiness(vectors, coordinates, n_neighbors=7)
    assert found.trustworthiness.value == pytest.approx(expected, abs=1e-9)
    reverse = trustworthiness(coordinates, vectors, n_neighbors=7)
    assert found.continuity.value == pytest.approx(reverse, abs=1e-9)
    assert found.trustworthiness.standard_error == 0


def test_distance_correlation_is_the_mean_spearman_of_each_points_distances(clouds):
    vectors, coordinates, _ = clouds
    expected = []
    for i in range(len(vectors)):
        far = np.delete(np.linalg.norm(vectors.astype(float) - vectors[i].astype(float), axis=1), i)
        near = np.delete(np.linalg.norm(coordinates - coordinates[i], axis=1), i)
        expected.append(spearmanr(far, near).statistic)
    found = map_quality(vectors, coordinates, None).distance_correlation
    assert found.value == pytest.approx(np.mean(expected), abs=1e-9)


def test_neighbour_accuracy_leaves_the_point_itself_out(clouds):
    vectors, coordinates, labels = clouds
    found = map_quality(vectors, coordinates, labels, n_neighbors=5)
    for space, estimate in (
        (coordinates, found.knn_accuracy_map),
        (vectors.astype(float), found.knn_accuracy_latents),
    ):
        model = KNeighborsClassifier(5)
        hits = [
            model.fit(np.delete(space, i, 0), np.delete(labels, i)).predict(space[[i]])[0]
            == labels[i]
            for i in range(len(space))
        ]
        assert estimate.value == pytest.approx(np.mean(hits), abs=1e-9)


def test_a_perfect_map_is_perfect_and_a_random_one_is_not(clouds):
    vectors, _, labels = clouds
    perfect = map_quality(vectors[:, :2], vectors[:, :2] * 3 + 1, labels)
    assert perfect.trustworthiness.value == 1
    assert perfect.continuity.value == 1
    assert perfect.distance_correlation.value == pytest.approx(1)
    noise = np.random.default_rng(1).normal(size=(210, 2))
    random = map_quality(vectors, noise, labels)
    assert 0.4 < random.trustworthiness.value < 0.6


def test_sampled_anchors_agree_with_all_within_their_standard_error(clouds, monkeypatch):
    vectors, coordinates, labels = clouds
    exact = map_quality(vectors, coordinates, labels)
    monkeypatch.setattr(module, "EXACT_LIMIT", 100)
    monkeypatch.setattr(module, "ANCHORS", 90)
    sampled = map_quality(vectors, coordinates, labels, seed=4)
    assert sampled.n_anchors == 90
    for name in ("trustworthiness", "continuity", "distance_correlation", "knn_accuracy_map"):
        estimate = getattr(sampled, name)
        assert estimate.standard_error > 0
        assert abs(estimate.value - getattr(exact, name).value) < 4 * estimate.standard_error


def test_blocks_do_not_show_in_the_result(clouds, monkeypatch):
    whole = map_quality(*clouds)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * 210 * 17)
    assert map_quality(*clouds) == whole


def test_few_points_get_a_smaller_neighbourhood_and_too_few_are_refused():
    points = np.random.default_rng(0).normal(size=(9, 2))
    assert map_quality(points, points, None, n_neighbors=10).n_neighbors == 4
    with pytest.raises(ValueError, match="5 points or more"):
        map_quality(points[:4], points[:4], None)


def test_without_labels_there_is_no_accuracy(clouds):
    found = map_quality(clouds[0], clouds[1], None)
    assert found.knn_accuracy_map is None
    assert found.knn_accuracy_latents is None
