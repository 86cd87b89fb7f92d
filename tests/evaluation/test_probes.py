import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import KNeighborsClassifier

from latentkit.evaluation import representation
from latentkit.evaluation.representation import (
    confusion,
    k_means,
    knn_probe,
    labelled_rows,
    linear_probe,
    nearest,
    vote,
)


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    return pixels[:1200], labels[:1200], pixels[1200:], labels[1200:]


def test_the_linear_probe_equals_scikit_learns_logistic_regression(digits):
    train, labels, test, truth = digits
    center, scale = train.mean(0), np.sqrt(train.var(0).mean())
    peer = LogisticRegression(max_iter=5000, tol=1e-8).fit((train - center) / scale, labels)
    expected = peer.predict((test - center) / scale)
    found = linear_probe(train, labels, test)
    assert (found == expected).mean() > 0.99
    assert (found == truth).mean() > 0.9


def test_the_knn_probe_equals_scikit_learns_except_for_ties(digits):
    train, labels, test, _ = digits
    expected = KNeighborsClassifier(10).fit(train, labels).predict(test)
    assert (knn_probe(train, labels, test) == expected).mean() > 0.99


def test_a_linear_probe_gives_the_same_result_in_many_parts(digits, monkeypatch):
    train, labels, test, _ = digits
    whole = representation.linear_probabilities(train, labels, test, 10)
    monkeypatch.setattr(representation, "_PART", 100 * train.shape[1])
    assert len(list(representation._parts(representation._tensor(train)))) == 12
    parts = representation.linear_probabilities(train, labels, test, 10)
    assert parts == pytest.approx(whole, abs=0.01)  # 100 steps stop before the optimum


def test_bytes_are_probed_as_their_values_in_0_to_1():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 900)
    prototypes = rng.integers(40, 200, (4, 200))
    pixels = (prototypes[labels] + rng.integers(-40, 40, (900, 200))).astype(np.uint8)
    numbers = pixels.astype(np.float32)
    train, test, known = slice(0, 600), slice(600, None), labels[:600]
    for probe in (linear_probe, knn_probe):
        found = probe(pixels[train], known, pixels[test])
        assert np.array_equal(found, probe(numbers[train], known, numbers[test]))
        assert (found == labels[test]).mean() > 0.9
    clusters = k_means(pixels[train], pixels[test], 4, 0)
    assert np.array_equal(clusters, k_means(numbers[train], numbers[test], 4, 0))


@pytest.mark.parametrize("dimensions", [3, 200])
def test_nearest_neighbours_are_sorted_in_few_and_many_dimensions(dimensions):
    rng = np.random.default_rng(0)
    train = (100 + rng.random((300, dimensions))).astype(np.float32)
    test = (100 + rng.random((40, dimensions))).astype(np.float32)
    gaps = ((test[:, None].astype(float) - train[None]) ** 2).sum(-1)
    assert np.array_equal(nearest(train, test, 5), np.argsort(gaps, axis=1)[:, :5])


def test_the_nearest_label_wins_a_tied_vote():
    neighbors = np.array([[0, 1, 2, 3], [3, 0, 1, 2], [0, 1, 2, 2]])
    assert vote(neighbors, np.array([7, 5, 5, 7])).tolist() == [7, 7, 5]


def test_a_share_of_labels_keeps_every_class_and_contains_smaller_shares():
    labels = np.repeat([0, 1, 2], [500, 50, 3])
    few, more = (labelled_rows(labels, share, 0) for share in (0.01, 0.1))
    assert np.bincount(labels[few]).tolist() == [5, 1, 1]
    assert np.bincount(labels[more]).tolist() == [50, 5, 1]
    assert set(few) < set(more)
    assert np.array_equal(labelled_rows(labels, 1.0, 0), np.arange(553))


def test_constant_features_and_a_single_label_do_not_fail():
    features = np.ones((20, 4), np.float32)
    labels = np.repeat([3, 8], [15, 5])
    assert linear_probe(features, labels, features[:2]).tolist() == [3, 3]
    assert linear_probe(features, np.full(20, 4), features[:2]).tolist() == [4, 4]
    assert knn_probe(features[:3], labels[:3], features).tolist() == [3] * 20


def test_the_rows_of_a_confusion_matrix_are_the_true_classes():
    truth, found = np.array([0, 0, 1, 2, 2]), np.array([0, 2, 1, 2, 0])
    assert np.array_equal(confusion(truth, found, 3), confusion_matrix(truth, found))


def test_neighbours_of_many_wide_items_are_found_across_blocks():
    generator = np.random.default_rng(0)
    train = generator.random((9000, 70), dtype=np.float32) + 50
    test = train[[0, 8191, 8192, 8999]] + np.float32(1e-3)
    found = nearest(train, test, 7)
    distances = np.square(train[None].astype(np.float64) - test[:, None]).sum(2)
    assert found.tolist() == distances.argsort(1, kind="stable")[:, :7].tolist()


def test_a_linear_probe_does_not_depend_on_offset_and_scale_of_features():
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features = (generator.normal(size=(300, 4)) + labels[:, None]).astype(np.float32)
    found = linear_probe(features, labels, features)
    moved = features * np.float32(1e-2) + np.float32(5)
    assert np.mean(found == linear_probe(moved, labels, moved)) > 0.99
