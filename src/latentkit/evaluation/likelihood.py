"""What a generative model says of images it has not seen, in nats an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.data.batches import DeviceImages

SAMPLES = 100
IMAGES = 1_000
_ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class LikelihoodCard:
    """Lower bounds of log p(x), and how many latent dimensions are in use.

    Args:
        elbo: of each image, one posterior sample each, (N,).
        importance_weighted: the bound from ``SAMPLES`` importance samples, of the first
            ``IMAGES`` images.
        active: which dimensions are active, (latent_dim,): the variance of their posterior
            means over images is above 0.01 (Burda, Grosse, Salakhutdinov, ICLR 2016).
    """

    elbo: NDArray[np.float64]
    importance_weighted: NDArray[np.float64]
    active: NDArray[np.bool_]


@torch.no_grad()
def likelihood_card(model: Any, images: DeviceImages, seed: int) -> LikelihoodCard:
    """Estimate both bounds; eval mode, float32.

    Args:
        model: a `latentkit.plugin.Generative` model.
        images: N test images, whose order carries no meaning.
        seed: of the posterior samples.
    """
    model.eval()
    torch.manual_seed(seed)
    bounds, weighted, means = [], [], []
    seen = 0
    for batch in images.in_order():
        means.append(model.posterior(batch)[0].double())
        bounds.append(model.log_likelihood(batch, 1))
        if seen < IMAGES:
            weighted.append(model.log_likelihood(batch[: IMAGES - seen], SAMPLES))
        seen += len(batch)
    variance = torch.cat(means).var(0, correction=0)
    return LikelihoodCard(
        torch.cat(bounds).double().cpu().numpy(),
        torch.cat(weighted).double().cpu().numpy(),
        (variance > _ACTIVE_VARIANCE).cpu().numpy(),
    )
