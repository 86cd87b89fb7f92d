import numpy as np
import pytest

from latentkit.transfer.transfer_figures import reliability, too_few

BINS = np.array([[0.2, 0.0, 0.01], [0.5, 0.4, 0.1], [0.7, 1.0, 0.09], [0.9, 0.9, 0.8]])


def test_bins_of_few_images_are_hollow_and_not_part_of_the_curve():
    upper = reliability([("after", BINS)], 100, "title").axes[0]
    _, curve, hollow = upper.lines
    assert np.array_equal(curve.get_ydata(), [np.nan, 0.4, np.nan, 0.9], equal_nan=True)
    assert hollow.get_ydata() == pytest.approx([0.0, 1.0])
    assert hollow.get_linestyle() == "None"
    assert hollow.get_markerfacecolor() == "white"


def test_ten_images_are_enough_for_a_bin():
    assert too_few(BINS, 100).tolist() == [True, False, True, False]
    assert not too_few(BINS, 1000).any()
