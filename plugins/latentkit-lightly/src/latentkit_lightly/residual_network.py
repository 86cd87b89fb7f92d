"""A small residual network for images of any size and any number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from latentkit.nn import ResidualBlock, activation, fold, folded_shape


class ResidualNetwork(nn.Module):
    """Convolutions with residual blocks: images (B, C, H, W) to latents (B, latent_dim).

    The last feature maps are averaged over the four quarters of the image, so that the latents know
    roughly where something is. Batch normalisation of the latents keeps their scale.

    Args:
        image_shape: C, H, W.
        patch: side of the squares of pixels that are folded into channels first.
        channels: feature maps of each stage; each but the first halves the size.
        blocks: residual blocks after each halving.
        latent_dim: width of the result.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        patch: int,
        channels: Sequence[int],
        blocks: int,
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.patch = patch
        depth, *_ = folded_shape(image_shape, patch)
        layers = _convolution(depth, channels[0], 1)
        for before, after in pairwise(channels):
            layers += _convolution(before, after, 2)
            layers += [ResidualBlock(after, "relu", "batch") for _ in range(blocks)]
        self.convolutions = nn.Sequential(*layers)
        self.latents = nn.Sequential(
            nn.Linear(4 * channels[-1], latent_dim, bias=False),
            nn.BatchNorm1d(latent_dim, affine=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents."""
        latents: Tensor = self.latents(self.quarters(images))
        return latents

    def quarters(self, images: Tensor) -> Tensor:
        """Return the means (B, 4 F) of the feature maps over the quarters of the image.

        The quarters of an odd size overlap, as in adaptive average pooling, whose gradient is not
        repeatable on a GPU.
        """
        maps = self.convolutions(fold(images, self.patch))
        height, width = maps.shape[2:]
        rows = maps[:, :, : (height + 1) // 2], maps[:, :, height // 2 :]
        parts = [
            part.mean((2, 3))
            for row in rows
            for part in (row[..., : (width + 1) // 2], row[..., width // 2 :])
        ]
        return torch.cat(parts, dim=1)


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        activation("relu"),
    ]
