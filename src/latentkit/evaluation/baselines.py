"""What a model has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.data.batches import DeviceImages

_ROWS = 1024


def pca_reconstruction_errors(
    train: DeviceImages, test: DeviceImages, dimension: int
) -> NDArray[np.float64]:
    """Return each test image's mean squared error a pixel under PCA, shape (N,).

    Args:
        train: the images that the components are fitted on.
        test: N images that are projected and reconstructed.
        dimension: number of components; cut to the number of values in an image.

    Mean and covariance are summed in float64 on the CPU; the components are exact. The
    reconstruction is clipped to [0, 1] as images are, which can only help PCA.
    """
    mean, components = _principal_components(train, dimension)
    errors = []
    for rows in _rows(test):
        centred = rows.double() - mean
        rebuilt = (centred @ components @ components.T + mean).clamp_(0, 1)
        errors.append((rebuilt - rows).square().mean(1).numpy())
    return np.concatenate(errors)


def _principal_components(images: DeviceImages, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the leading eigenvectors (D, dimension) of the covariance."""
    sums = torch.stack([rows.double().sum(0) for rows in _rows(images)]).sum(0)
    mean = sums / len(images)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for rows in _rows(images):
        centred = rows.double() - mean
        scatter.addmm_(centred.T, centred)
    _, vectors = torch.linalg.eigh(scatter)  # ascending
    return mean, vectors.flip(1)[:, : min(dimension, len(mean))]


def _rows(images: DeviceImages) -> Iterator[Tensor]:
    """Yield images as float32 rows (B, D) on the CPU."""
    for batch in images.in_order(_ROWS):
        yield batch.cpu().contiguous().flatten(1)
