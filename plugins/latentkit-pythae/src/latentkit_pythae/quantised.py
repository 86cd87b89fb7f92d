"""``pythae-vqvae``: a map of codes from a learned codebook."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from latentkit_pythae.adapter import PythaeModel


class QuantisedAutoencoder(PythaeModel):
    """A VQ-VAE whose latents are the flattened quantised map (B, embedding_dim * h * w).

    The flattened axes are in the order (embedding_dim, h, w).

    Args:
        model: the pythae model.
        options: options of the model.
    """

    def __init__(self, model: Any, options: Any) -> None:
        super().__init__(model, options)
        self.map_shape: tuple[int, int, int] = model.encoder.network.shape

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the nearest codes of their maps."""
        return self._quantised(self.model.encoder(images).embedding).flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents (B, latent_dim) to images in [0, 1], after replacing by nearest codes."""
        return super().decode(self._quantised(latents.reshape(-1, *self.map_shape)))

    @torch.no_grad()
    def codes(self, images: Tensor) -> Tensor:
        """Return the indices (B, h, w) of the codes of images (B, C, H, W)."""
        return self._nearest(self.model.encoder(images).embedding)

    def _nearest(self, maps: Tensor) -> Tensor:
        places = maps.movedim(1, -1)
        return torch.cdist(places.flatten(0, -2), self._codebook()).argmin(1).view(places.shape[:3])

    def _quantised(self, maps: Tensor) -> Tensor:
        return self._codebook()[self._nearest(maps)].movedim(-1, 1)

    def _codebook(self) -> Tensor:
        """Return the codes (K, embedding_dim)."""
        found = self.model.quantizer.embeddings
        return found if isinstance(found, Tensor) else found.weight  # type: ignore[no-any-return]
