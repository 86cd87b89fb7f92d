import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from latentkit.evaluation.representation import (
    adjusted_rand_index,
    indicators,
    k_means,
    matched_accuracy,
    normalised_mutual_information,
)


def table(clusters, labels):
    columns = indicators(np.asarray(clusters), np.asarray(labels)).sum(0)
    return columns.reshape(max(clusters) + 1, max(labels) + 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=60))
def test_cluster_figures_equal_scikit_learns(pairs):
    clusters, labels = map(list, zip(*pairs, strict=True))
    counts = table(clusters, labels)
    nmi = normalized_mutual_info_score(labels, clusters)
    assert float(normalised_mutual_information(counts)) == pytest.approx(nmi, abs=1e-9)
    ari = adjusted_rand_score(labels, clusters)
    assert float(adjusted_rand_index(counts)) == pytest.approx(ari, abs=1e-9)


def test_clusters_that_permute_the_classes_match_perfectly():
    labels = [0, 0, 1, 1, 2, 2]
    counts = table([2, 2, 0, 0, 1, 1], labels)
    for figure in (matched_accuracy, normalised_mutual_information, adjusted_rand_index):
        assert float(figure(counts)) == pytest.approx(1)


def test_the_matching_gives_each_cluster_one_class():
    # One cluster holds two whole classes: it can be matched with only one of them.
    assert float(matched_accuracy(table([0] * 6, [0, 0, 0, 0, 1, 1]))) == pytest.approx(4 / 6)
    assert float(matched_accuracy(table([0, 0, 1, 2], [0, 0, 0, 1]))) == pytest.approx(3 / 4)


def test_many_tables_are_measured_at_once():
    counts = np.random.default_rng(0).integers(0, 9, (7, 3, 4)).astype(float)
    for figure in (matched_accuracy, normalised_mutual_information, adjusted_rand_index):
        assert np.allclose(figure(counts), [figure(one) for one in counts])


def test_k_means_finds_clumps_and_places_new_points():
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [9, 0], [0, 9]])
    labels = rng.integers(0, 3, 600)
    points = (centers[labels] + rng.normal(0, 0.5, (600, 2))).astype(np.float32)
    found = k_means(points[:400], points[400:], 3, 0)
    assert float(matched_accuracy(table(found.tolist(), labels[400:].tolist()))) == 1


def test_fewer_distinct_points_than_clusters_do_not_fail():
    points = np.zeros((30, 2), np.float32)
    assert k_means(points, points[:5], 10, 0).tolist() == [0] * 5
