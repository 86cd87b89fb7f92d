"""FactorVAE and the adversarial autoencoder: a model and a discriminator with one optimiser.

The loss is the sum of the autoencoder's loss, with the discriminator's parameters held constant,
and the discriminator's loss, with the latents held constant. Each parameter therefore gets only the
gradient of its own loss, and Adam updates each parameter by its own gradient.
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
    """``pythae-aae``: the discriminator distinguishes latents from samples of the prior."""

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
    """``pythae-factor-vae``: the discriminator distinguishes latents from shuffled ones.

    As in pythae, one half of the batch is reconstructed and the latents of the other are shuffled.
    """

    _LEAST_IMAGES = 4  # two images in each half, because one cannot be shuffled

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
    """Let gradients pass through a module without changing its parameters' gradients."""
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
