import math

import numpy as np
import pytest
import torch

from latentkit.data.batches import DeviceImages
from latentkit.evaluation.likelihood import gaussian_kl, likelihood_card

CPU = torch.device("cpu")


class Known:
    """Model whose posterior is N(brightness, 0.25) in one dimension and the prior in the other."""

    def eval(self):
        return self

    def posterior(self, images):
        mu = torch.zeros(len(images), 2)
        mu[:, 0] = images.mean((1, 2, 3))
        log_var = torch.tensor([math.log(0.25), 0.0]).repeat(len(images), 1)
        return mu, log_var

    def log_likelihood(self, images, samples):
        return -images.mean((1, 2, 3)) - 1 / samples


@pytest.fixture(scope="module")
def card():
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1, 1, 1), np.uint8)
    images = np.broadcast_to(pixels, (1500, 1, 8, 8)).copy()
    return pixels.ravel() / 255, likelihood_card(Known(), DeviceImages(images, CPU), 0)


def test_the_kl_is_split_by_dimension(card):
    mu, found = card
    expected = 0.5 * (mu**2 + 0.25 - 1 - math.log(0.25))
    assert found.kl == pytest.approx(expected, abs=1e-5)
    assert found.kl_by_dimension == pytest.approx([expected.mean(), 0], abs=1e-5)
    assert found.active.tolist() == [True, False]


def test_the_elbo_covers_all_images_and_the_tighter_bound_the_first_thousand(card):
    mu, found = card
    assert found.elbo == pytest.approx(-mu - 1, abs=1e-5)
    assert found.importance_weighted == pytest.approx(-mu[:1000] - 0.01, abs=1e-5)


def test_the_aggregate_posterior_has_the_moments_of_the_mixture(card):
    mu, found = card
    assert found.aggregate_mean == pytest.approx([mu.mean(), 0], abs=1e-6)
    assert found.aggregate_variance == pytest.approx([mu.var() + 0.25, 1], abs=1e-6)
    mean, variance = mu.mean(), mu.var() + 0.25
    gap = 0.5 * (variance + mean**2 - 1 - math.log(variance))
    assert found.prior_gap == pytest.approx(gap, abs=1e-5)


def test_the_gap_to_the_prior_is_0_for_the_prior_and_the_closed_form_for_a_gaussian():
    eye = torch.eye(3, dtype=torch.float64)
    assert gaussian_kl(torch.zeros(3, dtype=torch.float64), eye) == pytest.approx(0)
    shifted = torch.tensor([2.0, 0, 0], dtype=torch.float64)
    assert gaussian_kl(shifted, eye) == pytest.approx(2)
