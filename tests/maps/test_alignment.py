import numpy as np
import pytest
from scipy.spatial import procrustes

from latentkit.maps.alignment import align

POINTS = np.random.default_rng(0).normal(size=(50, 2))


def test_a_rotated_mirrored_scaled_and_shifted_map_is_recovered():
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])
    moved = 3 * POINTS @ turn + [5, -2]
    found = align(moved, POINTS)
    assert np.allclose(found(moved), POINTS)
    assert found.disparity == pytest.approx(0, abs=1e-12)


def test_the_disparity_equals_scipys():
    noisy = POINTS + np.random.default_rng(1).normal(scale=0.3, size=POINTS.shape)
    assert align(noisy, POINTS).disparity == pytest.approx(procrustes(POINTS, noisy)[2])


def test_points_outside_the_fit_are_transformed_too():
    found = align(POINTS[:10] * 2 + 1, POINTS[:10])
    assert np.allclose(found(POINTS[10:] * 2 + 1), POINTS[10:])


def test_a_map_without_extent_cannot_be_aligned():
    with pytest.raises(ValueError, match="all points are equal"):
        align(np.zeros((5, 2)), POINTS[:5])
    with pytest.raises(ValueError, match=r"\(5, 2\) cannot be aligned to \(4, 2\)"):
        align(POINTS[:5], POINTS[:4])
