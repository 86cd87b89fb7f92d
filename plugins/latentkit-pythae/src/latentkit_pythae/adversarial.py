"""Two players under one optimiser: FactorVAE and the adversarial autoencoder.

The loss is the autoencoder's plus the discriminator's. The first is computed with the
discriminator's parameters held constant, the second with latents held constant, so each parameter
has the gradient of its own loss and of no other, and Adam moves each by its own gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from latentkit_pythae.adapter import NormalPriorModel
from latentkit_pythae.gaussian import GaussianVae


class AdversarialAutoencoder(NormalPriorModel):
    """``pythae-aae``: the discriminator tells latents from draws of the prior."""

    def _output(self, inputs: Tensor, data: Tensor, step: int) -> Mapping[str, Any]:
        model = self.model
        posterior = model.encoder(data)
        deviation = torch.exp(0.5 * posterior.log_covariance)
        z, _ = model._sample_gauss(
            posterior.embedding, (1 - model.deterministic_posterior) * deviation
        )
        reconstruction = model.decoder(z)["reconstruction"]
        prior = torch.randn_like(z)
        with _constant(model.discriminator):
            error, ours, _ = model.loss_function(reconstruction, data, z, prior)
        _, _, theirs = model.loss_function(reconstruction.detach(), data, z.detach(), prior)
        return _sum_of(ours, theirs, recon_loss=error, recon_x=reconstruction)


class FactorVae(GaussianVae):
    """``pythae-factor-vae``: the discriminator tells latents from shuffled ones.

    As in pythae, one half of the batch is reconstructed and the other shuffled.
    """

    _LEAST_IMAGES = 4  # two in each half, or there is nothing to shuffle

    def _output(self, inputs: Tensor, data: Tensor, step: int) -> Mapping[str, Any]:
        model = self.model
        order = torch.randperm(len(data)).to(data.device)
        first, second = order[len(data) // 2 :], order[: len(data) // 2]
        mu, log_var, z = self._draw(inputs[first])
        reconstruction = model.decoder(z)["reconstruction"]
        shuffled = model._permute_dims(self._draw(inputs[second])[2]).detach()
        images = data[first]
        with _constant(model.discriminator):
            error, ours, _ = model.loss_function(reconstruction, images, mu, log_var, z, shuffled)
        apart = (t.detach() for t in (mu, log_var, z))
        _, _, theirs = model.loss_function(reconstruction.detach(), images, *apart, shuffled)
        return _sum_of(
            ours, theirs, recon_loss=error, recon_x=reconstruction, recon_x_indices=first
        )

    def _draw(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, log_var = self.posterior(images)
        return mu, log_var, self.model._sample_gauss(mu, torch.exp(0.5 * log_var))[0]


@contextmanager
def _constant(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through a module, and reach none of its parameters."""
    held = [p for p in module.parameters() if p.requires_grad]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def _sum_of(ours: Tensor, theirs: Tensor, **others: Any) -> dict[str, Any]:
    return {
        "loss": ours + theirs,
        "autoencoder_loss": ours,
        "discriminator_loss": theirs,
        **others,
    }
