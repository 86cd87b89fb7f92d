import numpy as np
import pytest
from sklearn import metrics

from latentkit.evaluation.bootstrap import Bootstrap, replicated
from latentkit.transfer.transfer_card import (
    balanced_accuracy,
    calibration_error,
    classification,
    confused_pairs,
)

N, K = 400, 4
NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def items():
    rng = np.random.default_rng(0)
    truth = rng.choice(K, N, p=[0.5, 0.3, 0.15, 0.05])
    scores = rng.normal(size=(N, K)) + 2 * np.eye(K)[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return truth, probabilities


@pytest.fixture(scope="module")
def card(items):
    return classification(*items, NAMES, Bootstrap(N, 0))


def test_figures_equal_scikit_learns(items, card):
    truth, probabilities = items
    given = probabilities.argmax(1)
    assert card["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(truth, given))
    assert card["balanced_accuracy"]["value"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, given)
    )
    assert card["log_loss"]["value"] == pytest.approx(metrics.log_loss(truth, probabilities))
    assert np.array_equal(card["confusion"], metrics.confusion_matrix(truth, given))
    precision, recall, _, counts = metrics.precision_recall_fscore_support(truth, given)
    for one in card["classes"]:
        label = one["label"]
        assert one["precision"]["value"] == pytest.approx(precision[label])
        assert one["recall"]["value"] == pytest.approx(recall[label])
        assert one["n_images"] == counts[label]
        assert 0 <= one["recall"]["low"] <= one["recall"]["value"] <= one["recall"]["high"] <= 1


def test_the_calibration_error_follows_its_definition(items, card):
    truth, probabilities = items
    confidence, hits = probabilities.max(1), probabilities.argmax(1) == truth
    error = 0.0
    for low in np.arange(15) / 15:
        chosen = (confidence >= low) & (confidence < low + 1 / 15)
        if chosen.any():
            error += chosen.mean() * abs(confidence[chosen].mean() - hits[chosen].mean())
    assert card["expected_calibration_error"]["value"] == pytest.approx(error)
    assert calibration_error(confidence, hits) == pytest.approx(error)
    assert sum(one["share"] for one in card["calibration"]) == pytest.approx(1)


def test_a_classifier_that_is_always_right_and_certain_is_calibrated():
    truth = np.arange(40) % K
    found = classification(truth, np.eye(K)[truth], NAMES, Bootstrap(40, 0))
    assert found["accuracy"]["value"] == found["balanced_accuracy"]["value"] == 1
    assert found["expected_calibration_error"]["value"] == 0
    assert confused_pairs(np.array(found["confusion"]), 5) == []


def test_a_class_that_is_never_predicted_has_no_precision():
    truth = np.arange(40) % 2
    found = classification(truth, np.tile([0.9, 0.1, 0.0], (40, 1)), NAMES[:3], Bootstrap(40, 0))
    assert found["classes"][1]["precision"] is None
    assert found["classes"][1]["recall"]["value"] == 0
    assert found["classes"][2]["recall"] is None
    assert found["balanced_accuracy"]["value"] == 0.5


def test_confused_pairs_are_those_of_the_largest_shares():
    counts = np.array([[90, 10, 0], [0, 100, 0], [3, 2, 5]])
    assert confused_pairs(counts, 2) == [(2, 0), (2, 1)]
    assert confused_pairs(counts, 9) == [(2, 0), (2, 1), (0, 1)]


def test_balanced_accuracy_gives_each_class_the_same_weight():
    truth = np.array([0, 0, 0, 1])
    assert balanced_accuracy(truth, np.array([True, True, True, False])) == 0.5


def test_means_over_seeds_have_students_t_interval():
    found = replicated([0.8, 0.9, 1.0])
    assert found.value == pytest.approx(0.9)
    assert found.high - found.value == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    alone = replicated([0.8])
    assert (alone.value, alone.low, alone.high) == (0.8, None, None)
