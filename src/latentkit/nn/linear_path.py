"""A linear path beside an encoder and its decoder, which starts as PCA of the training images.

PCA is what an autoencoder has to beat, and a network needs many steps to find it. With this path it
has PCA from the first step, and learns only what PCA cannot show. The components of photographs are
smooth, so the path sees images reduced to at most `_MOST_SIDE` pixels a side: its number of weights
does not grow with larger images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_ImageShape = tuple[int, int, int]
_MOST_SIDE = 32
"""Most pixels a side of the images that a linear path sees."""
_OVERSAMPLED = 16  # more directions than wanted, which makes the wanted ones exact
_MOST_VALUES = 2**26  # of the reduced images, to limit the memory
_ROUNDS = 4  # of the subspace iteration
_LEAST_DEVIATION = 1e-4  # of a latent, as a share of the largest: less is rounding


def _reduced_shape(image_shape: _ImageShape) -> _ImageShape:
    """Return the shape C, H, W of images whose squares of pixels are averaged to `_MOST_SIDE`."""
    channels, height, width = image_shape
    factor = -(-max(height, width) // _MOST_SIDE)
    return channels, -(-height // factor), -(-width // factor)


class LinearEncoder(nn.Module):
    """Linear map of images (B, C, H, W) to latents (B, latent_dim).

    It gives zeros until `start_as_pca` sets its weights. They are buffers: saved with the network,
    but not changed by training.

    Args:
        image_shape: C, H, W.
        latent_dim: number of latents.
    """

    weight: Tensor
    bias: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, image_shape: _ImageShape, latent_dim: int) -> None:
        super().__init__()
        _, height, width = image_shape
        shape = _reduced_shape(image_shape)
        self.reduces = shape != image_shape
        self.register_buffer("weight", torch.zeros(latent_dim, math.prod(shape)))
        self.register_buffer("bias", torch.zeros(latent_dim))
        self.register_buffer("rows", _averages(height, shape[1]), persistent=False)
        self.register_buffer("columns", _averages(width, shape[2]), persistent=False)

    def reduced(self, images: Tensor) -> Tensor:
        """Return the values (B, C h w) of images whose squares of pixels are averaged."""
        # A product: the backward pass of functions that resize is not deterministic on GPUs.
        if self.reduces:
            images = self.rows @ images.contiguous() @ self.columns.T
        return images.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents (B, latent_dim)."""
        return functional.linear(self.reduced(images), self.weight, self.bias)


class LinearDecoder(nn.Module):
    """Linear map of latents (B, latent_dim) to images (B, C, H, W), the mirror of `LinearEncoder`.

    Args:
        image_shape: C, H, W.
        latent_dim: number of latents.
    """

    weight: Tensor
    bias: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, image_shape: _ImageShape, latent_dim: int) -> None:
        super().__init__()
        _, height, width = image_shape
        self.shape = _reduced_shape(image_shape)
        self.enlarges = self.shape != image_shape
        values = math.prod(self.shape)
        self.register_buffer("weight", torch.zeros(values, latent_dim))
        self.register_buffer("bias", torch.zeros(values))
        self.register_buffer("rows", _interpolation(self.shape[1], height), persistent=False)
        self.register_buffer("columns", _interpolation(self.shape[2], width), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the images (B, C, H, W), whose values may be outside [0, 1]."""
        small = functional.linear(latents, self.weight, self.bias).view(-1, *self.shape)
        return self.rows @ small @ self.columns.T if self.enlarges else small


class LinearPath(nn.Module):
    """Linear maps beside an encoder and its decoder: images to latents, and latents to images.

    Args:
        image_shape: C, H, W.
        latent_dim: number of latents.
    """

    def __init__(self, image_shape: _ImageShape, latent_dim: int) -> None:
        super().__init__()
        self.encoder = LinearEncoder(image_shape, latent_dim)
        self.decoder = LinearDecoder(image_shape, latent_dim)

    @torch.no_grad()
    def start_as_pca(self, batches: Iterable[Tensor]) -> None:
        """Set the maps to the principal components of images, with latents of variance 1.

        Latents for which the images have no component stay zero.

        Args:
            batches: training images (B, C, H, W), float32 in [0, 1]. If they are many, only the
                first are read.
        """
        encoder, decoder = self.encoder, self.decoder
        values = _first_values(encoder, batches)
        mean = values.mean(0)
        components, deviations = _components(values - mean, len(encoder.weight))
        least = _LEAST_DEVIATION * deviations.max()
        used = (deviations > least) & (deviations > 0)
        scales = torch.where(used, deviations.reciprocal(), torch.zeros_like(deviations))
        encoder.weight.copy_((components * scales).T)
        encoder.bias.copy_(-(encoder.weight @ mean))
        decoder.weight.copy_(components * deviations * used)
        decoder.bias.copy_(mean)


def clamp_to_images(values: Tensor) -> Tensor:
    """Return values clamped to [0, 1]; gradients pass as if they were not clamped.

    So a value that is outside the range and wrong is corrected, which the gradient of a clamp,
    zero, would not do.
    """
    clamped = values.clamp(0, 1)
    return values + (clamped - values).detach() if torch.is_grad_enabled() else clamped


def _first_values(encoder: LinearEncoder, batches: Iterable[Tensor]) -> Tensor:
    found, count = [], 0
    for batch in batches:
        found.append(encoder.reduced(batch).float())
        count += found[-1].numel()
        if count >= _MOST_VALUES:
            break
    return torch.cat(found)


def _components(centred: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the leading directions (D, k) of rows (N, D) and their deviations (k,).

    Subspace iteration from fixed random directions (N. Halko, P. Martinsson, J. Tropp 2011). If
    there are fewer than k directions, the rest are zeros.
    """
    n, d = centred.shape
    most = min(k, d, max(1, n - 1))
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(d, min(d, n, k + _OVERSAMPLED), generator=generator)
    directions = directions.to(centred.device)
    for _ in range(_ROUNDS):
        directions = torch.linalg.qr(centred.T @ (centred @ directions)).Q
    projected = torch.linalg.svd(centred @ directions, full_matrices=False)
    found = directions @ projected.Vh.T
    components = centred.new_zeros(d, k)
    deviations = centred.new_zeros(k)
    components[:, :most] = found[:, :most]
    deviations[:most] = projected.S[:most] / math.sqrt(n)
    return components, deviations


def _averages(size: int, reduced: int) -> Tensor:
    """Return the matrix (reduced, size) that averages neighbouring values; each row sums to 1."""
    factor = -(-size // reduced)
    # With NumPy, because torch's own operations would import its compiler on the meta device.
    member = (np.arange(reduced)[:, None] == np.arange(size) // factor).astype(np.float32)
    return torch.from_numpy(member / np.maximum(member.sum(1, keepdims=True), 1))


def _interpolation(reduced: int, size: int) -> Tensor:
    """Return the matrix (size, reduced) that interpolates linearly between centres of groups."""
    factor = -(-size // reduced)
    at = np.clip((np.arange(size, dtype=np.float32) + 0.5) / factor - 0.5, 0, reduced - 1)
    distance = np.abs(at[:, None] - np.arange(reduced, dtype=np.float32))
    return torch.from_numpy(np.maximum(1 - distance, 0).astype(np.float32))
