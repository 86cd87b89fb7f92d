"""Gaussian posteriors, and likelihoods of images given a decoder's logits.

A likelihood is a module because it may have parameters. Log-likelihoods are float32, in nats,
summed over all pixels and channels, with shape (B,).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentkit.nn.layers import at_least_float32

LOG_VAR_RANGE = (-30.0, 20.0)
"""Log-variances are clamped to this range. Outside it, float32 has no useful precision."""


def split_posterior(features: Tensor) -> tuple[Tensor, Tensor]:
    """Split features (B, 2 D) into float32 mu (B, D) and log_var (B, D), and clamp log_var."""
    mu, log_var = at_least_float32(features).chunk(2, dim=1)
    return mu, log_var.clamp(*LOG_VAR_RANGE)


def reparameterise(mu: Tensor, log_var: Tensor) -> Tensor:
    """Draw z ~ N(mu, exp(log_var)) with gradients for both (Kingma & Welling 2014)."""
    return torch.addcmul(mu, torch.randn_like(mu), (0.5 * log_var).exp())


def kl_to_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mu, exp(log_var)) || N(0, 1)) of each dimension, in nats: (B, D).

    The formula is (mu^2 + exp(log_var) - 1 - log_var) / 2.
    """
    return 0.5 * (mu.square() + log_var.expm1() - log_var)


def log_normal(values: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Return the log-density of N(mu, exp(log_var)) at ``values``, summed over the last axis."""
    squares = (values - mu).square() * (-log_var).exp()
    return -0.5 * (squares + log_var + math.log(2 * math.pi)).sum(-1)


LikelihoodName = Literal["bernoulli", "continuous-bernoulli", "gaussian", "gaussian-learned"]

_NEAR_HALF = 1e-2
_LEAST_LOG_SIGMA = -6.0


class Likelihood(nn.Module):
    """Base class; the mean is the sigmoid of the logits unless a subclass overrides it."""

    def log_prob(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return log p(images | logits) in nats, (B,); images (B, C, H, W) in [0, 1]."""
        raise NotImplementedError

    def mean(self, logits: Tensor) -> Tensor:
        """Return the expected images (B, C, H, W), in [0, 1]."""
        return at_least_float32(logits).sigmoid()


class Bernoulli(Likelihood):
    """Bernoulli likelihood. For grey images it is the cross-entropy, which is not a density."""

    def log_prob(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return the negative cross-entropy."""
        return -_sum(_cross_entropy(logits, images))


class ContinuousBernoulli(Likelihood):
    """Bernoulli likelihood with the constant that makes it a density on [0, 1].

    G. Loaiza-Ganem and J. P. Cunningham, NeurIPS 2019.
    """

    def log_prob(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return the log-density."""
        return _sum(log_constant(at_least_float32(logits)) - _cross_entropy(logits, images))

    def mean(self, logits: Tensor) -> Tensor:
        """Return the mean: e^t / (e^t - 1) - 1 / t for logits t, 1/2 + t/12 near t = 0."""
        t = at_least_float32(logits)
        near = t.abs() < _NEAR_HALF
        safe = torch.where(near, torch.ones_like(t), t)
        exact = -1 / torch.expm1(-safe) - 1 / safe
        return torch.where(near, 0.5 + t / 12, exact).clamp(0, 1)


class Gaussian(Likelihood):
    """Independent Gaussians around the sigmoid of the logits, with one shared sigma.

    Args:
        sigma: standard deviation; images range from 0 to 1.
        learned: train log sigma together with the network (O. Rybkin et al., ICML 2021).
    """

    def __init__(self, sigma: float, *, learned: bool = False) -> None:
        super().__init__()
        start = torch.tensor(math.log(sigma))
        if learned:
            self.log_sigma = nn.Parameter(start)
        else:
            self.register_buffer("log_sigma", start)

    def log_prob(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return the log-density."""
        log_sigma = at_least_float32(self.log_sigma).clamp(min=_LEAST_LOG_SIGMA)
        squares = (images - self.mean(logits)).square() * (-2 * log_sigma).exp()
        return -_sum(0.5 * squares + log_sigma + 0.5 * math.log(2 * math.pi))


def make_likelihood(name: LikelihoodName, sigma: float) -> Likelihood:
    """Return a new likelihood; ``sigma`` is the fixed or initial sigma of the Gaussians."""
    if name == "bernoulli":
        return Bernoulli()
    if name == "continuous-bernoulli":
        return ContinuousBernoulli()
    return Gaussian(sigma, learned=name == "gaussian-learned")


def log_constant(logits: Tensor) -> Tensor:
    """Return log C of the continuous Bernoulli, C = t / tanh(t / 2) for logits t.

    With lambda = sigmoid(t), C(lambda) = 2 artanh(1 - 2 lambda) / (1 - 2 lambda). Near t = 0 this
    is 0 / 0, so the series log 2 + t^2 / 12 is used there.
    """
    near = logits.abs() < _NEAR_HALF
    safe = torch.where(near, torch.ones_like(logits), logits)
    exact = torch.log(safe.abs()) - torch.log(torch.tanh(safe.abs() / 2))
    return torch.where(near, math.log(2) + logits.square() / 12, exact)


def _cross_entropy(logits: Tensor, images: Tensor) -> Tensor:
    wide = at_least_float32(logits)
    return functional.binary_cross_entropy_with_logits(wide, images, reduction="none")


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)
