"""``conv-vae`` and ``dense-vae``: D. P. Kingma and M. Welling, ICLR 2014.

Loss terms are in nats per image: summed over pixels and latents, averaged over the batch. With
``beta`` = 1 and no free bits, the loss is the negative ELBO.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentkit.builtins.models.autoencoder import (
    RESIDUAL_LEARNING_RATE,
    ImageShape,
    conv_pair,
    dense_pair,
)
from latentkit.builtins.models.options import ConvVaeOptions, DenseVaeOptions, VaeOptions
from latentkit.nn import (
    kl_to_standard_normal,
    log_normal,
    make_likelihood,
    reparameterise,
    split_posterior,
    whole_batch,
)


class VariationalAutoencoder(nn.Module):
    """A VAE with a diagonal Gaussian posterior and a standard normal prior.

    Args:
        encoder: images (B, C, H, W) to features (B, 2 latent_dim): mu and log_var.
        decoder: latents to logits (B, C, H, W).
        options: likelihood and weights of the loss.
    """

    capturable = True
    learning_rate: float | None = None
    """Peak learning rate that suits the network; None for that of the spec."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, options: VaeOptions) -> None:
        super().__init__()
        self.latent_dim = int(options.latent_dim)
        self.warm_up_steps = options.warm_up
        self.beta = options.beta
        self.free_bits = options.free_bits
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = make_likelihood(options.likelihood, options.sigma)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var (B, latent_dim) of q(z | images), float32."""
        return split_posterior(self.encoder(images))

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the posterior means (B, latent_dim)."""
        return self.posterior(images)[0]

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the inputs of the encoder's last layer, (B, F)."""
        return self.encoder.hidden(images)  # type: ignore[operator,no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W), the mean of the likelihood."""
        return self.likelihood.mean(self.decoder(latents))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W) from their posterior means."""
        return self.decode(self.encode(images))

    def beta_at(self, step: int) -> float:
        """Return the weight of the KL term at a step. It rises linearly over the warm-up."""
        if step >= self.warm_up_steps:
            return self.beta
        return self.beta * (step + 1) / self.warm_up_steps

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the loss and its terms, with one posterior sample for each image.

        Returns:
            ``loss``: -log p(targets | z) + beta_at(step) * max(KL, free bits); ``nll``:
            -log p(targets | z); ``kl``: without weight and free bits; ``elbo``: -(nll + kl);
            ``mse``: mean squared error per pixel of the reconstruction from the sample. All but
            ``mse`` are in nats per image.
        """
        mu, log_var = self.posterior(inputs)
        logits = self.decoder(reparameterise(mu, log_var))
        nll = -self.likelihood.log_prob(logits, targets).mean()
        kl_by_dimension = whole_batch(kl_to_standard_normal(mu, log_var)).mean(0)
        kl = kl_by_dimension.sum()
        # Free bits (Kingma et al. 2016): below the bound, more KL in a dimension costs nothing.
        paid = kl_by_dimension.clamp(min=self.free_bits).sum() if self.free_bits else kl
        with torch.no_grad():
            mse = functional.mse_loss(self.likelihood.mean(logits), targets)
        return {
            "loss": nll + self.beta_at(step) * paid,
            "nll": nll.detach(),
            "kl": kl.detach(),
            "elbo": -(nll + kl).detach(),
            "mse": mse,
        }

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents from the prior and decode them to images (n, C, H, W)."""
        device = next(self.parameters()).device
        return self.decode(torch.randn(n, self.latent_dim, device=device, generator=generator))

    @torch.no_grad()
    def log_likelihood(self, images: Tensor, samples: int) -> Tensor:
        """Return a lower bound of log p(images) in nats, (B,), by importance sampling.

        The bound is log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x) over k = ``samples`` draws. It is
        the ELBO for k = 1, and grows tight with k (Y. Burda, R. Grosse, R. Salakhutdinov, ICLR
        2016).
        """
        mu, log_var = self.posterior(images)
        zeros = torch.zeros_like(mu)
        weights = []
        for _ in range(samples):
            z = reparameterise(mu, log_var)
            log_ratio = log_normal(z, zeros, zeros) - log_normal(z, mu, log_var)
            weights.append(self.likelihood.log_prob(self.decoder(z), images) + log_ratio)
        return torch.stack(weights).logsumexp(0) - math.log(samples)


def build_conv(options: ConvVaeOptions, image_shape: ImageShape) -> VariationalAutoencoder:
    """Build ``conv-vae``.

    Raises:
        UserError: the network is too deep for the images.
    """
    options = options.for_images(image_shape)
    encoder, decoder = conv_pair(options, image_shape, 2 * int(options.latent_dim), "conv-vae")
    model = VariationalAutoencoder(encoder, decoder, options)
    if options.blocks:
        model.learning_rate = RESIDUAL_LEARNING_RATE
    return model


def build_dense(options: DenseVaeOptions, image_shape: ImageShape) -> VariationalAutoencoder:
    """Build ``dense-vae``."""
    encoder, decoder = dense_pair(options, image_shape, 2 * options.latent_dim)
    return VariationalAutoencoder(encoder, decoder, options)
