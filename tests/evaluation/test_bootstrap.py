import numpy as np
import pytest
import scipy.stats
from scipy.sparse import csr_array

from latentkit.evaluation.bootstrap import Bootstrap


def test_the_interval_of_a_mean_equals_scipys():
    values = np.random.default_rng(1).exponential(size=400)
    found = Bootstrap(400, seed=0).of_mean(values)
    peer = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    )
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(scipy.stats.sem(values))
    assert found.low == pytest.approx(peer.confidence_interval.low, abs=0.015)
    assert found.high == pytest.approx(peer.confidence_interval.high, abs=0.015)


def test_intervals_cover_the_true_value_at_about_their_stated_rate():
    rng = np.random.default_rng(0)
    draws = Bootstrap(200, seed=0)
    found = [draws.of_mean(rng.normal(3, 1, 200)) for _ in range(400)]
    held = np.mean([one.low <= 3 <= one.high for one in found])
    assert 0.91 < held < 0.98


def test_a_function_of_column_sums_has_an_interval_too():
    rng = np.random.default_rng(0)
    hits = rng.random(500) < 0.3
    columns = np.column_stack([hits, np.ones(500)])
    draws = Bootstrap(500, seed=0)
    ratio = draws.of(lambda sums: sums[..., 0] / sums[..., 1], columns)
    mean = draws.of_mean(hits)
    found, expected = (ratio.value, ratio.low, ratio.high), (mean.value, mean.low, mean.high)
    assert found == pytest.approx(expected, abs=0.003)
    assert ratio.standard_error == pytest.approx(mean.standard_error, rel=0.1)


def test_a_seed_fixes_the_interval_and_a_single_item_has_zero_width():
    values = np.arange(50.0)
    assert Bootstrap(50, 3).of_mean(values) == Bootstrap(50, 3).of_mean(values)
    alone = Bootstrap(1, 0).of_mean(np.array([0.25]))
    assert (alone.value, alone.standard_error, alone.low, alone.high) == (0.25, 0, 0.25, 0.25)


def test_many_items_get_fewer_resamples():
    assert Bootstrap(10_000, 0).resamples == 1000
    assert Bootstrap(400_000, 0).resamples == 250


def test_resamples_in_smaller_blocks_and_sparse_columns_give_the_same_interval(monkeypatch):
    rng = np.random.default_rng(0)
    columns = (rng.random((90, 4)) < 0.3).astype(float)

    def share(sums):
        return sums[..., 0] / sums.sum(-1)

    whole = Bootstrap(90, 0).of(share, columns)
    monkeypatch.setattr("latentkit.evaluation.bootstrap._MOST_VALUES", 7 * 90)
    assert Bootstrap(90, 0).of(share, columns) == whole
    assert Bootstrap(90, 0).of(share, csr_array(columns)) == whole


def test_an_interval_that_ends_at_zero_does_not_exclude_it():
    differences = np.zeros(372)  # of two classifiers: 17 images that only one gets right, and 7
    differences[:17], differences[17:24] = 1, -1
    assert Bootstrap(372, seed=0).of_mean(differences).low == 0
