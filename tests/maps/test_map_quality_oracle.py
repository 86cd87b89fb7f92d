"""The quality card against zadu's (pip install --no-deps zadu hdbscan), if it is installed."""

import numpy as np
import pytest

from latentkit.maps.quality import map_quality

REASON = "zadu is not installed: pip install --no-deps zadu hdbscan"
pytest.importorskip("zadu", reason=REASON)


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(300, 8)) * np.arange(1, 9)
    return vectors, vectors[:, -2:] + generator.normal(size=(300, 2))


@pytest.fixture(scope="module")
def card(pair):
    return map_quality(*pair, None, n_neighbors=10)


def test_trustworthiness_and_continuity_equal_zadus(pair, card):
    from zadu.measures.trustworthiness_continuity import measure

    expected, local = measure(*pair, k=10, return_local=True)
    assert card.trustworthiness.value == pytest.approx(expected["trustworthiness"], abs=1e-9)
    assert card.continuity.value == pytest.approx(expected["continuity"], abs=1e-9)
    assert card.point_trustworthiness == pytest.approx(local["local_trustworthiness"], abs=1e-6)


def test_neighbourhood_preservation_equals_zadus_local_continuity(pair, card):
    from zadu.measures.local_continuity_meta_criteria import measure

    for row in card.neighbourhood_preservation:
        expected = measure(*pair, k=row.k)["lcmc"]
        assert row.q_nx.value - row.k / 299 == pytest.approx(expected, abs=1e-9)
        assert row.r_nx.value == pytest.approx(expected * 299 / (299 - row.k), abs=1e-9)


def test_correlation_and_stress_of_distances_equal_zadus(pair, card):
    from zadu.measures import scale_normalized_stress, spearman_rho

    rho = spearman_rho.measure(*pair)["spearman_rho"]
    assert card.spearman_correlation.value == pytest.approx(rho, abs=1e-9)
    stress = scale_normalized_stress.measure(*pair)["scale_normalized_stress"]
    assert card.scale_normalised_stress.value == pytest.approx(stress, abs=1e-9)
