"""Baselines that a model has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from latentkit.data.batches import DeviceImages

_ROWS = 1024
_DIRECT = 4096
"""Most images or pixels for which a square matrix of that size is decomposed as a whole."""


@dataclass(frozen=True)
class PixelPCA:
    """Principal components of images' pixels.

    Args:
        mean: (P,), float64, on the CPU; P is the number of values in an image.
        components: (P, k), float64, orthonormal.
    """

    mean: Tensor
    components: Tensor

    @classmethod
    def fit(cls, images: DeviceImages, dimension: int) -> PixelPCA:
        """Fit the ``dimension`` leading components of ``images``, or all if there are fewer.

        Mean and covariance are summed in float64 on the CPU; the components are exact.
        """
        return cls(*_principal_components(images, dimension))

    def codes(self, images: DeviceImages) -> NDArray[np.float32]:
        """Return the projections (N, k) of images."""
        parts = [(rows.double() - self.mean) @ self.components for rows in _rows(images)]
        return torch.cat(parts).float().numpy()

    def rebuild(self, images: Tensor) -> Tensor:
        """Return the reconstructions of images (B, C, H, W), on their device.

        They are clipped to [0, 1], the range of images, which can only help PCA.
        """
        centred = _flat(images).double() - self.mean
        rebuilt = (centred @ self.components @ self.components.T + self.mean).clamp_(0, 1)
        return rebuilt.float().reshape(images.shape).to(images.device)


def _principal_components(images: DeviceImages, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the leading eigenvectors (D, dimension) of the covariance."""
    sums = torch.stack([rows.double().sum(0) for rows in _rows(images)]).sum(0)
    mean = sums / len(images)
    n, d = len(images), len(mean)
    if min(n, d) > _DIRECT:
        vectors = _iterated(images, mean, min(dimension, d))
    elif n < d:
        vectors = _of_few(images, mean, min(dimension, max(1, n - 1)))
    else:
        scatter = torch.zeros(d, d, dtype=torch.float64)
        for rows in _rows(images):
            centred = rows.double() - mean
            scatter.addmm_(centred.T, centred)
        vectors = _leading(scatter, min(dimension, d))
    return mean, vectors


def _leading(scatter: Tensor, k: int) -> Tensor:
    """Return the ``k`` leading eigenvectors (M, k) of a symmetric matrix (M, M)."""
    m = len(scatter)
    found = scipy.linalg.eigh(scatter.numpy(), subset_by_index=(m - k, m - 1), overwrite_a=True)
    return torch.from_numpy(found[1][:, ::-1].copy())  # eigh sorts in ascending order


def _of_few(images: DeviceImages, mean: Tensor, k: int) -> Tensor:
    """Return the components for fewer images than pixels, from products of the images."""
    centred = torch.cat([rows.double() for rows in _rows(images)]) - mean
    spanned: Tensor = centred.T @ _leading(centred @ centred.T, k)
    basis: Tensor = torch.linalg.qr(spanned).Q
    return basis


def _iterated(images: DeviceImages, mean: Tensor, k: int) -> Tensor:
    """Return the components by Lanczos iteration, if the covariance is too large for memory."""

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        given = torch.from_numpy(vector.reshape(-1))
        total = torch.zeros_like(mean)
        for rows in _rows(images):
            centred = rows.double() - mean
            total += centred.T @ (centred @ given)
        return total.numpy()

    d = len(mean)
    operator = LinearOperator((d, d), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(d)
    _, vectors = eigsh(operator, min(k, d - 1), v0=start, tol=1e-6)
    return torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1]))


def _rows(images: DeviceImages) -> Iterator[Tensor]:
    """Yield images as float32 rows (B, D) on the CPU."""
    for batch in images.in_order(_ROWS):
        yield _flat(batch)


def _flat(images: Tensor) -> Tensor:
    return images.cpu().contiguous().flatten(1)
