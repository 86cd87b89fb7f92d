"""The networks and losses of notebook_study.py, written only with layers of ``torch.nn``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Loss = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of a model, images (B, 1, 28, 28) in [0, 1] and labels (B,)."""


class Autoencoder(nn.Module):
    """Three convolutions of stride 2 and a mirrored decoder.

    The sizes are 28 -> 14 -> 7 -> 3 pixels, then 288 -> 64 -> latents.
    """

    def __init__(
        self, latent_dim: int = 3, width: int = 8, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        a, b, c, act = width, 2 * width, 4 * width, activation
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(1, a, 3, 2, 1), act(), nn.Conv2d(a, b, 3, 2, 1), act()),
            *(nn.Conv2d(b, c, 3, 2, 0), act(), nn.Flatten(), nn.Linear(9 * c, 64), act()),
        )
        self.bottleneck = nn.Linear(64, latent_dim)
        self.log_var = nn.Linear(64, latent_dim)  # used only by the variational autoencoder
        self.decoder = nn.Sequential(
            *(nn.Linear(latent_dim, 64), act(), nn.Linear(64, 9 * c), act()),
            *(nn.Unflatten(1, (c, 3, 3)), nn.ConvTranspose2d(c, b, 3, 2, 0), act()),
            *(nn.ConvTranspose2d(b, a, 3, 2, 1, 1), act()),
            *(nn.ConvTranspose2d(a, 1, 3, 2, 1, 1), nn.Sigmoid()),
        )

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return latents (B, latent_dim)."""
        return self.bottleneck(self.convolutions(images))  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return reconstructions (B, 1, 28, 28)."""
        return self.decoder(self.encode(images))  # type: ignore[no-any-return]


class Classifier(nn.Module):
    """Classifier head on the encoder's 64 features."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 10)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 10)."""
        return self.head(self.encoder(images))  # type: ignore[no-any-return]


def squared(model: Any, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of the reconstruction."""
    return functional.mse_loss(model(images), images)


def denoised(model: Any, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of reconstructions of noisy images to the clean ones."""
    noisy = (images + 0.4 * torch.randn_like(images)).clamp(0, 1)
    return functional.mse_loss(model(noisy), images)


def variational(model: Any, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return squared error plus KL, summed over pixels and latents and averaged over the batch."""
    hidden = model.convolutions(images)
    mu, log_var = model.bottleneck(hidden), model.log_var(hidden)
    latents = mu + torch.randn_like(mu) * (0.5 * log_var).exp()
    error = functional.mse_loss(model.decoder(latents), images, reduction="sum")
    kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum()
    return (error + kl) / len(images)


def classified(model: Any, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy."""
    return functional.cross_entropy(model(images), labels)


def built(params: dict[str, Any]) -> Autoencoder:
    """Return the network of a trial."""
    return Autoencoder(activation=getattr(nn, params["activation"]))
