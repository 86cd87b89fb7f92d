"""Likelihoods and divergences against closed forms and numerical integration."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Normal, kl_divergence

from latentkit.nn.likelihoods import (
    LOG_VAR_RANGE,
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    kl_to_standard_normal,
    log_constant,
    log_normal,
    make_likelihood,
    reparameterise,
    split_posterior,
)

LOGITS = [-30.0, -8.0, -1.0, -0.02, -1e-4, 0.0, 1e-4, 0.009, 0.011, 0.5, 3.0, 30.0]


def test_kl_equals_that_of_two_gaussians():
    mu, log_var = torch.randn(7, 3), torch.randn(7, 3)
    expected = kl_divergence(Normal(mu, (0.5 * log_var).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl_to_standard_normal(mu, log_var), expected, atol=1e-5)
    assert kl_to_standard_normal(torch.zeros(1, 1), torch.zeros(1, 1)).item() == 0


def test_kl_of_a_hand_computed_case():
    value = kl_to_standard_normal(torch.tensor([[2.0]]), torch.tensor([[math.log(4.0)]]))
    assert value.item() == pytest.approx((4 + 4 - 1 - math.log(4)) / 2, rel=1e-6)


def test_the_log_density_equals_scipys():
    value = log_normal(torch.tensor([[0.3, -1.0]]), torch.tensor([[0.1, 0.5]]),
                       torch.tensor([[0.4, -0.2]]))  # fmt: skip
    expected = stats.norm.logpdf([0.3, -1.0], [0.1, 0.5], np.exp(0.5 * np.array([0.4, -0.2])))
    assert value.item() == pytest.approx(expected.sum(), rel=1e-5)


def test_log_variances_are_clamped_and_computed_in_float32():
    mu, log_var = split_posterior(torch.tensor([[1.0, -1e4], [2.0, 1e4]], dtype=torch.bfloat16))
    assert mu.tolist() == [[1.0], [2.0]]
    assert log_var.flatten().tolist() == list(LOG_VAR_RANGE)
    assert log_var.dtype == torch.float32
    assert kl_to_standard_normal(mu, log_var).isfinite().all()


def test_samples_have_the_posteriors_moments_and_pass_gradients():
    torch.manual_seed(0)
    mu = torch.full((200_000, 1), 3.0, requires_grad=True)
    log_var = torch.full((200_000, 1), math.log(0.25), requires_grad=True)
    z = reparameterise(mu, log_var)
    assert z.mean().item() == pytest.approx(3.0, abs=0.01)
    assert z.std().item() == pytest.approx(0.5, abs=0.01)
    z.sum().backward()
    assert torch.equal(mu.grad, torch.ones_like(mu))
    assert log_var.grad.abs().sum() > 0


@pytest.mark.parametrize("logit", LOGITS)
def test_the_continuous_bernoulli_is_a_density(logit):
    likelihood = ContinuousBernoulli()

    def density(x):
        image = torch.full((1, 1, 1, 1), x)
        return likelihood.log_prob(torch.full((1, 1, 1, 1), logit), image).exp().item()

    grid = np.linspace(0, 1, 4001)
    assert integrate.simpson([density(x) for x in grid], x=grid) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("logit", LOGITS)
def test_the_mean_of_the_continuous_bernoulli_equals_its_integral(logit):
    mean = ContinuousBernoulli().mean(torch.full((1, 1, 1, 1), logit)).item()
    rate = np.float64(logit)

    def weight(x):
        return np.exp(rate * (x - (1 if rate > 0 else 0)))

    expected = integrate.quad(lambda x: x * weight(x), 0, 1, limit=200)[0]
    expected /= integrate.quad(weight, 0, 1, limit=200)[0]
    assert mean == pytest.approx(expected, abs=2e-4)


def test_the_constant_and_its_gradient_are_finite_everywhere():
    logits = torch.linspace(-60, 60, 1201, requires_grad=True)
    constant = log_constant(logits)
    constant.sum().backward()
    assert constant.isfinite().all()
    assert logits.grad.isfinite().all()
    assert log_constant(torch.zeros(1)).item() == pytest.approx(math.log(2))


def test_bernoulli_is_the_negative_cross_entropy():
    logits, images = torch.randn(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    p = logits.sigmoid()
    expected = (images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3))
    assert torch.allclose(Bernoulli().log_prob(logits, images), expected, atol=1e-5)


def test_the_gaussian_log_density_equals_scipys():
    logits, images = torch.randn(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    expected = stats.norm.logpdf(images, logits.sigmoid(), 0.2).sum((1, 2, 3))
    assert Gaussian(0.2).log_prob(logits, images).numpy() == pytest.approx(expected, rel=1e-5)


def test_a_learned_sigma_converges_to_the_error():
    torch.manual_seed(0)
    likelihood = Gaussian(1.0, learned=True)
    logits = torch.zeros(500, 1, 4, 4)
    images = 0.5 + 0.05 * torch.randn_like(logits)
    optimizer = torch.optim.Adam(likelihood.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-likelihood.log_prob(logits, images).mean()).backward()
        optimizer.step()
    assert likelihood.log_sigma.exp().item() == pytest.approx(0.05, rel=0.05)
    assert not list(Gaussian(0.1).parameters())


@pytest.mark.parametrize(
    "name", ["bernoulli", "continuous-bernoulli", "gaussian", "gaussian-learned"]
)
def test_log_likelihoods_are_float32_sums_over_each_image(name):
    likelihood = make_likelihood(name, 0.1)
    logits = torch.randn(3, 2, 4, 5, dtype=torch.bfloat16)
    value = likelihood.log_prob(logits, torch.rand(3, 2, 4, 5))
    assert value.shape == (3,)
    assert value.dtype == torch.float32
    mean = likelihood.mean(logits)
    assert mean.min() >= 0
    assert mean.max() <= 1
