"""Diagonal Gaussian posteriors: bounded log-variance, sampling, divergence from the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_VAR_RANGE = (-30.0, 20.0)
"""Log-variances are clamped to this range. Outside it, float32 has no useful precision."""


def split_posterior(features: Tensor) -> tuple[Tensor, Tensor]:
    """Split features (B, 2 D) into float32 mu (B, D) and log_var (B, D), and clamp log_var."""
    mu, log_var = features.float().chunk(2, dim=1)
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
