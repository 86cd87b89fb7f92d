"""Models with a Gaussian posterior, a standard normal prior and a likelihood of pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from latentkit.errors import UserError
from latentkit.nn import log_normal, reparameterise
from latentkit_pythae.adapter import GradientModel, NormalPriorModel


class GaussianVae(NormalPriorModel):
    """A VAE with bounds of log p(images), which the evaluation card measures."""

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var (B, latent_dim) of q(z | images)."""
        output = self.model.encoder(images)
        return output.embedding, output.log_covariance

    @torch.no_grad()
    def log_likelihood(self, images: Tensor, samples: int) -> Tensor:
        """Return a lower bound of log p(images) in nats, (B,), from importance samples.

        The likelihood is that of pythae's ``get_nll``. With ``mse``, a pixel is distributed as
        N(reconstruction, 1). With ``bce``, its log-likelihood is the negative cross-entropy, which
        is not a density for grey images.
        """
        mu, log_var = self.posterior(images)
        zeros = torch.zeros_like(mu)
        weights = []
        for _ in range(samples):
            z = reparameterise(mu, log_var)
            log_ratio = log_normal(z, zeros, zeros) - log_normal(z, mu, log_var)
            weights.append(self._log_prob(self.decode(z), images) + log_ratio)
        return torch.stack(weights).logsumexp(0) - math.log(samples)

    def _log_prob(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        mean, pixels = reconstruction.flatten(1), images.flatten(1)
        if self.model.model_config.reconstruction_loss == "bce":
            return -functional.binary_cross_entropy(mean, pixels, reduction="none").sum(1)
        return log_normal(pixels, mean, torch.zeros_like(mean))


class HamiltonianVae(GradientModel, GaussianVae):
    """``pythae-hvae``: the standard deviation is the softplus of pythae's log-variance.

    The bound of `log_likelihood` uses the posterior before the leapfrog steps.
    """

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var (B, latent_dim) of q(z_0 | images)."""
        mu, raw = super().posterior(images)
        return mu, 2 * functional.softplus(raw).log()

    def _output(self, inputs: Tensor, data: Tensor, step: int) -> Mapping[str, Any]:
        if not torch.equal(inputs, data):
            raise UserError(
                "model pythae-hvae cannot be trained on corrupted images, because its leapfrog "
                "steps use the clean ones: train without --corrupt, or choose another model"
            )
        return super()._output(inputs, data, step)
