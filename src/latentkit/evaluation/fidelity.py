"""Fidelity of reconstructions to their images: mean squared error, PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from latentkit.data.batches import DeviceImages
from latentkit.errors import PluginError

Rebuild = Callable[[Tensor], Tensor]
"""Function from images (B, C, H, W) to images (B, C, H, W), in [0, 1]."""

_LEAST_MSE = 1e-10
_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Fidelity:
    """Fidelity of N reconstructions, one figure per image, (N,).

    Args:
        mse: mean squared error per pixel; images range from 0 to 1.
        ssim: structural similarity, see `ssim`; 1 means equal.
    """

    mse: NDArray[np.float64]
    ssim: NDArray[np.float64]

    @property
    def psnr(self) -> NDArray[np.float64]:
        """Peak signal-to-noise ratio in dB, (N,): 100 at most, for an exact image."""
        ratios: NDArray[np.float64] = -10 * np.log10(np.maximum(self.mse, _LEAST_MSE))
        return ratios


@torch.no_grad()
def fidelity(images: DeviceImages, rebuild: Rebuild, corrupt: Rebuild | None = None) -> Fidelity:
    """Compare images with what ``rebuild`` makes of them.

    Args:
        images: N clean images.
        rebuild: the reconstruction, or another function to compare with the clean images.
        corrupt: makes the inputs of ``rebuild``. With None, the inputs are the clean images.

    Raises:
        PluginError: a reconstruction has another shape than its image.
    """
    errors, similarities = [], []
    for batch in images.in_order():
        rebuilt = rebuild(batch if corrupt is None else corrupt(batch))
        if rebuilt.shape != batch.shape:
            raise PluginError(
                f"the model's decode gives {tuple(rebuilt.shape)} for images {tuple(batch.shape)}; "
                "make both shapes equal"
            )
        rebuilt = rebuilt.float()
        errors.append((rebuilt - batch).square().flatten(1).mean(1).cpu())
        similarities.append(ssim(rebuilt, batch).cpu())
    return Fidelity(
        torch.cat(errors).double().numpy(),
        torch.cat(similarities).double().numpy(),
    )


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity of images (B, C, H, W) in [0, 1], float32 (B,).

    This follows Z. Wang et al. (2004), with their constants. The Gaussian window is 11 x 11 with
    sigma 1.5. For smaller images, it is cut to the largest odd size that fits. The result is the
    mean over window places and channels.
    """
    side = min(_WINDOW, *images.shape[-2:])
    side -= 1 - side % 2
    at = torch.arange(side, device=images.device, dtype=torch.float32) - side // 2
    weights = torch.exp(-at.square() / (2 * _SIGMA**2))
    weights /= weights.sum()

    def blurred(x: Tensor) -> Tensor:
        planes = x.flatten(0, 1)[:, None]
        rows = functional.conv2d(planes, weights.view(1, 1, 1, -1))
        return functional.conv2d(rows, weights.view(1, 1, -1, 1))

    a, b = images.float().contiguous(), others.float().contiguous()
    mean_a, mean_b = blurred(a), blurred(b)
    variance_a = blurred(a * a) - mean_a.square()
    variance_b = blurred(b * b) - mean_b.square()
    covariance = blurred(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    similarity: Tensor = (luminance * structure).reshape(len(images), -1).mean(1)
    return similarity
