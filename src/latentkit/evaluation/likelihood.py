"""Likelihood of unseen images under a generative model, in nats per image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.data.batches import DeviceImages
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.measuring import Json, MeasuringHarness
from latentkit.nn.likelihoods import kl_to_standard_normal
from latentkit.plugin.protocols import Generative, provides
from latentkit.training.processes import Arrays, Pieces, piece

SAMPLES = 100
IMAGES = 1_000
_ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class LikelihoodCard:
    """Lower bounds on log p(x), their terms, and how the latent space is used.

    Args:
        elbo: ELBO of each image, (N,), from one posterior sample each.
        importance_weighted: the bound from ``SAMPLES`` importance samples, for the first
            ``IMAGES`` images.
        kl: exact KL of each image's posterior from the prior, (N,). The other term of the ELBO,
            log p(x | z) under the posterior, is ``elbo + kl`` on average.
        kl_by_dimension: mean KL of each dimension over images, (latent_dim,).
        active: whether each dimension is active, (latent_dim,): the variance of its posterior
            mean over images is above 0.01 (Burda, Grosse, Salakhutdinov, ICLR 2016).
        aggregate_mean: mean of the aggregate posterior, the mixture of all N posteriors,
            (latent_dim,); the prior's is 0.
        aggregate_variance: variance of each dimension of the aggregate posterior, (latent_dim,);
            the prior's is 1.
        prior_gap: KL from the prior of the Gaussian with the aggregate posterior's mean and
            covariance. If it is 0, samples from the prior fall where the decoder was trained.
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
    """Estimate all figures of the card, in eval mode and float32.

    Args:
        model: a `latentkit.plugin.Generative` model.
        images: N test images, in an order that carries no meaning: the first ones are a sample.
        seed: seed of the posterior samples.
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
    # The aggregate posterior's covariance is the spread of the means plus the mean variance.
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


def likelihood_pieces(harness: MeasuringHarness) -> Pieces:
    """Return the estimate of a generative model's likelihood as a piece of work."""

    def make() -> Arrays:
        card = likelihood_card(harness.model, harness.test, harness.seed("likelihood"))
        return {name: np.asarray(value) for name, value in vars(card).items()}

    return {"likelihood": make} if provides(harness.model, Generative) else {}


def likelihood(harness: MeasuringHarness) -> Json:
    """Measure a generative model's likelihood bounds and its use of the latent space."""
    ((name, make),) = likelihood_pieces(harness).items()
    card = LikelihoodCard(**piece(name, make))  # type: ignore[arg-type]  # prior_gap has no axes
    harness.arrays |= {"elbo": card.elbo, "kl": card.kl}
    few = Bootstrap(len(card.importance_weighted), harness.seed("importance"))
    found = {
        "unit": "nats an image",
        "elbo": harness.mean(card.elbo),
        "log_likelihood_under_posterior": harness.mean(card.elbo + card.kl),
        "kl": harness.mean(card.kl),
        "kl_by_dimension": card.kl_by_dimension.tolist(),
        "importance_weighted": asdict(few.of_mean(card.importance_weighted)),
        "importance_samples": SAMPLES,
        "importance_images": len(card.importance_weighted),
        "active_dimensions": int(card.active.sum()),
        "aggregate_posterior": {
            "kl_of_gaussian_fit_from_prior": float(card.prior_gap),
            "mean": card.aggregate_mean.tolist(),
            "variance": card.aggregate_variance.tolist(),
        },
    }
    return {"likelihood": found}
