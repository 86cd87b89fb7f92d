"""Shared definitions of exploration: the decoder as a function, and the scale of latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Decode = Callable[[Floats], Floats]
"""Latents (N, D) to images (N, C, H, W) in [0, 1]."""


@dataclass(frozen=True)
class LatentScale:
    """The spread of latents in each dimension.

    Args:
        mean: (D,), mean of the latents.
        sigma: (D,), their standard deviation, the unit of traversals.
        weight: (D,), how much information each dimension carries.
        weight_name: name of the weight, with its unit.
    """

    mean: Floats
    sigma: Floats
    weight: NDArray[np.float64]
    weight_name: str

    @property
    def order(self) -> NDArray[np.intp]:
        """The dimensions (D,), sorted from the largest weight to the smallest."""
        return np.argsort(-self.weight, kind="stable")

    def in_sigmas(self, latents: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distance of values (..., D) from the mean, in sigmas; 0 if sigma is 0."""
        away = np.asarray(latents, np.float64) - self.mean
        return np.divide(away, self.sigma, out=np.zeros_like(away), where=self.sigma > 0)


def latent_scale(latents: NDArray[Any], kl: NDArray[Any] | None = None) -> LatentScale:
    """Return the spread of latents (N, D).

    Args:
        latents: of training images.
        kl: (D,), mean divergence of the posterior from the prior in nats, the weight of each
            dimension; None if the model has no prior, then the variance is the weight.
    """
    values = np.asarray(latents, np.float64)
    variance = values.var(axis=0)
    weight = variance if kl is None else np.asarray(kl, np.float64)
    return LatentScale(
        mean=values.mean(axis=0).astype(np.float32),
        sigma=np.sqrt(variance).astype(np.float32),
        weight=weight,
        weight_name="variance" if kl is None else "KL (nats)",
    )


def decode_grid(decode: Decode, latents: Floats) -> Floats:
    """Decode latents (..., D) to images (..., C, H, W)."""
    images = decode(np.ascontiguousarray(latents.reshape(-1, latents.shape[-1]), np.float32))
    return images.reshape(*latents.shape[:-1], *images.shape[1:])
