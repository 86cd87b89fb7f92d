"""Ranks of few points are computed without compiled code; the figures are bit-identical."""

import numpy as np
import pytest

from latentkit.maps import uncompiled_ranks
from latentkit.maps.quality import map_quality


def cloud(kind, n, d):
    rng = np.random.default_rng(3)
    if kind == "ties":
        return rng.integers(0, 3, (n, d)).astype(np.float32)
    return rng.standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize("kind", ["normal", "ties"])
@pytest.mark.parametrize(("n", "d"), [(40, 2), (150, 20)])
def test_the_quality_of_a_map_of_few_points_equals_that_of_the_compiled_code(
    kind, n, d, monkeypatch
):
    points, labels = cloud(kind, n, d), np.arange(n) % 4
    coordinates = points[:, :2].astype(np.float64) ** 3
    few = map_quality(points, coordinates, labels, seed=0)
    monkeypatch.setattr(uncompiled_ranks, "MOST", 0)
    many = map_quality(points, coordinates, labels, seed=0)
    assert few.as_dict() == many.as_dict()
    assert np.array_equal(few.point_trustworthiness, many.point_trustworthiness)
