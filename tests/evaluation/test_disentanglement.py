"""Disentanglement of codes with known answers: the factors themselves, mixtures, and noise."""

import numpy as np
import pytest

from latentkit.evaluation.disentanglement import (
    completeness,
    disentanglement,
    has_kinds,
    measure_disentanglement,
    mutual_information_gaps,
)

RNG = np.random.default_rng(0)
FACTORS = np.column_stack(
    [RNG.integers(0, 3, 3000), RNG.uniform(0, 1, 3000), RNG.uniform(size=3000)]
)


def measured(codes):
    codes = codes.astype(np.float32)
    return measure_disentanglement(codes[:1500], FACTORS[:1500], codes[1500:], FACTORS[1500:], 0)


def test_the_factors_themselves_are_a_perfect_code():
    found = measured(FACTORS * [1, -3, 5] + [0, 2, 1])
    assert found.mig == pytest.approx(1, abs=0.08)
    assert found.disentanglement == pytest.approx(1, abs=0.02)
    assert found.completeness == pytest.approx(1, abs=0.02)
    assert found.informativeness == pytest.approx(np.ones(3), abs=0.01)
    # For the shape, the second-best latent scores at chance level, a third.
    assert found.sap == pytest.approx((2 / 3 + 1 + 1) / 3, abs=0.05)
    assert np.allclose(found.importance.sum(0), 1)
    assert found.importance.argmax(0).tolist() == [0, 1, 2]


def test_a_factor_that_two_latents_encode_equally_has_no_gap():
    found = measured(np.column_stack([FACTORS, FACTORS[:, 1]]))
    assert found.mig_by_factor[1] == pytest.approx(0, abs=1e-9)
    assert found.mig_by_factor[[0, 2]] == pytest.approx([1, 1], abs=0.08)


def test_rotated_factors_are_informative_but_entangled():
    quantities = FACTORS[:, 1:] - 0.5
    turned = quantities @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    found = measured(np.column_stack([FACTORS[:, 0], turned]))
    assert found.mig_by_factor[1:].max() < 0.05
    assert found.informativeness.min() > 0.95
    assert found.disentanglement < 0.7


def test_noise_scores_near_zero():
    found = measured(np.random.default_rng(1).normal(size=(3000, 4)))
    assert found.mig < 0.02
    assert found.sap < 0.05
    assert found.informativeness[0] == pytest.approx(1 / 3, abs=0.05)
    assert found.informativeness[1:].max() < 0.05


@pytest.mark.parametrize(
    ("importance", "modular", "compact"),
    [
        (np.eye(3), 1, 1),
        (np.full((3, 3), 1 / 3), 0, 0),
        # Two latents share a factor: each latent encodes one factor, the factor needs two latents.
        (np.array([[0.5, 0], [0.5, 0], [0, 1]]), 1, (1 - np.log(2) / np.log(3) + 1) / 2),
        # One latent encodes both factors, the other none.
        (np.array([[1.0, 1], [0, 0]]), 0, 1),
    ],
)
def test_dci_of_known_importances(importance, modular, compact):
    assert disentanglement(importance) == pytest.approx(modular)
    assert completeness(importance) == pytest.approx(compact)


def test_with_a_single_latent_the_gap_is_its_own_information():
    gaps = mutual_information_gaps(FACTORS[:, :1], FACTORS)
    assert gaps[0] == pytest.approx(1)
    assert gaps[1] == pytest.approx(0, abs=0.02)


def test_only_few_whole_numbers_count_as_kinds_and_constants_have_no_gap():
    assert has_kinds(np.array([0.0, 2, 1]))
    assert not has_kinds(np.array([0.0, 0.5, 1]))
    assert not has_kinds(np.arange(100.0))
    assert mutual_information_gaps(FACTORS, np.ones((3000, 1))) == pytest.approx([0])
