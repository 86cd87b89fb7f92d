"""Encoding and decoding with a trained model: eval mode, float32, no gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.data.batches import EVALUATION_BATCH, DeviceImages
from latentkit.errors import PluginError
from latentkit.registry.options import fault_of

Corrupt = Callable[[Tensor], Tensor]
_AT_END = 1e-4


@torch.no_grad()
def encode(
    model: Any,
    images: DeviceImages,
    progress: Callable[[int, int], None] | None = None,
    *,
    part: int = 0,
    parts: int = 1,
) -> NDArray[np.float32]:
    """Return the latents (N, latent_dim) of clean images, in order.

    Args:
        model: an `Encoder`; it is put in eval mode.
        images: N images.
        progress: receives the number of images done, and how many there are in this part.
        part: number of the part of the images that is encoded, from 0.
        parts: number of parts, each of whole batches, so that latents are those of one part.

    Raises:
        PluginError: the model fails, or its latents do not have the shape that it declares.
    """
    model.eval()
    found = [np.empty((0, model.latent_dim), np.float32)]
    indices = list(images.indices())
    # Rounded up, so that the first part has a batch even if there are fewer batches than parts.
    start, stop = (-(-len(indices) * one // parts) for one in (part, part + 1))
    indices = indices[start:stop]
    done, total = 0, sum(map(len, indices))
    for index in indices:
        batch = images.batch(index)
        with fault_of("the model's encode failed"):
            latents = model.encode(batch).float()
        if latents.shape != (len(batch), model.latent_dim):
            raise PluginError(
                f"the model's encode gives {tuple(latents.shape)} for {len(batch)} images, "
                f"expected ({len(batch)}, {model.latent_dim})"
            )
        found.append(latents.cpu().numpy())
        done += len(batch)
        if progress:
            progress(done, total)
    return np.concatenate(found)


@torch.no_grad()
def decode(model: Any, latents: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
    """Return the images (N, C, H, W) in [0, 1] decoded from latents (N, latent_dim)."""
    model.eval()
    batches = torch.split(torch.from_numpy(np.ascontiguousarray(latents)), EVALUATION_BATCH)
    with fault_of("the model's decode failed"):
        return np.concatenate(
            [model.decode(batch.to(device)).float().cpu().contiguous().numpy() for batch in batches]
        )


def reconstruction(model: Any) -> Callable[[Tensor], Tensor]:
    """Return a function that reconstructs images (B, C, H, W); put ``model`` in eval mode."""
    model.eval()

    def rebuild(images: Tensor) -> Tensor:
        with fault_of("the model's reconstruction failed"):
            rebuilt: Tensor = model.decode(model.encode(images))
        return rebuilt

    return rebuild


@torch.no_grad()
def saturated_share(model: Any, images: DeviceImages) -> float:
    """Return the share of pixels close to 0 or 1 in the reconstruction of the first batch."""
    model.eval()
    batch = next(images.in_order())
    rebuilt = model.decode(model.encode(batch)).float()
    return float(((rebuilt < _AT_END) | (rebuilt > 1 - _AT_END)).float().mean())
