"""What a generative model says of images it has not seen, in nats an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.data.batches import DeviceImages
from latentkit.nn.gaussian import kl_to_standard_normal

SAMPLES = 100
IMAGES = 1_000
_ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class LikelihoodCard:
    """Lower bounds of log p(x), what they are made of, and how the latent space is used.

    Args:
        elbo: of each image, one posterior sample each, (N,).
        importance_weighted: the bound from ``SAMPLES`` importance samples, of the first
            ``IMAGES`` images.
        kl: KL of each image's posterior from the prior, exact, (N,). The other term of the
            ELBO, log p(x | z) under the posterior, is ``elbo + kl`` on average.
        kl_by_dimension: its mean over images, (latent_dim,).
        active: which dimensions are active, (latent_dim,): the variance of their posterior
            means over images is above 0.01 (Burda, Grosse, Salakhutdinov, ICLR 2016).
        aggregate_mean: of the aggregate posterior, the mixture of all N posteriors,
            (latent_dim,); 0 under the prior.
        aggregate_variance: of each dimension of it, (latent_dim,); 1 under the prior.
        prior_gap: KL from the prior of the Gaussian with the aggregate posterior's mean and
            covariance: 0 where samples from the prior lie where the decoder has learned.
    """

    elbo: NDArray[np.float64]
    importance_weighted: NDArray[np.float64]
    kl: NDArray[np.float64]
    kl_by_dimension: NDArray[np.float64]
    active: NDArray[np.bool_]
    aggregate_mean: NDArray[np.float64]
    aggregate_variance: NDArray[np.float64]
    prior_gap: float


@torch.no_grad()
def likelihood_card(model: Any, images: DeviceImages, seed: int) -> LikelihoodCard:
    """Estimate all of it; eval mode, float32.

    Args:
        model: a `latentkit.plugin.Generative` model.
        images: N test images, whose order carries no meaning.
        seed: of the posterior samples.
    """
    model.eval()
    torch.manual_seed(seed)
    bounds, weighted, means, log_vars = [], [], [], []
    seen = 0
    for batch in images.in_order():
        mu, log_var = model.posterior(batch)
        means.append(mu.double().cpu())
        log_vars.append(log_var.double().cpu())
        bounds.append(model.log_likelihood(batch, 1))
        if seen < IMAGES:
            weighted.append(model.log_likelihood(batch[: IMAGES - seen], SAMPLES))
        seen += len(batch)
    mu, log_var = torch.cat(means), torch.cat(log_vars)
    divergence = kl_to_standard_normal(mu, log_var)
    mean = mu.mean(0)
    scatter = (mu - mean).T @ (mu - mean) / len(mu)
    covariance = scatter + log_var.exp().mean(0).diag()
    return LikelihoodCard(
        elbo=torch.cat(bounds).double().cpu().numpy(),
        importance_weighted=torch.cat(weighted).double().cpu().numpy(),
        kl=divergence.sum(1).numpy(),
        kl_by_dimension=divergence.mean(0).numpy(),
        active=(scatter.diagonal() > _ACTIVE_VARIANCE).numpy(),
        aggregate_mean=mean.numpy(),
        aggregate_variance=covariance.diagonal().numpy(),
        prior_gap=gaussian_kl(mean, covariance),
    )


def gaussian_kl(mean: Tensor, covariance: Tensor) -> float:
    """Return KL(N(mean, covariance) || N(0, I)) in nats; (D,) and (D, D), float64."""
    gap = covariance.trace() + mean.square().sum() - len(mean) - torch.logdet(covariance)
    return float(gap / 2)
