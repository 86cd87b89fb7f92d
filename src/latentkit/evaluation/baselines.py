"""Baselines that a model has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.data.batches import DeviceImages
from latentkit.plugin.images import as_floats

MOST_VALUES = 2**28
"""Most values (images times values of an image) that components are fitted on."""
_ROWS, _BLOCK = 1024, 2**23  # most images, and most values, at once
DIRECT = 4096
"""Most images or pixels for which a square matrix of that size is decomposed as a whole."""
_PASSES, _SETTLED = 50, 1e-12  # of the iteration: most passes, and the change that ends it


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

        Mean and covariance are summed in float64 on the CPU, a block at a time. The components are
        exact up to rounding, whatever the size of the set.
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
    if min(n, d) > DIRECT:
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
    """Return the ``k`` leading eigenvectors (M, k) of a symmetric matrix (M, M).

    Only the entries on and below the diagonal are read.
    """
    m = len(scatter)
    found = scipy.linalg.eigh(scatter.numpy(), subset_by_index=(m - k, m - 1), overwrite_a=True)
    return torch.from_numpy(found[1][:, ::-1].copy())  # eigh sorts in ascending order


def _of_few(images: DeviceImages, mean: Tensor, k: int) -> Tensor:
    """Return the components for fewer images than pixels, from products of the images.

    The images stay as they are stored; a few pixels of all of them at a time become float64.
    """
    stored = images.stored_rows()
    n, d = stored.shape
    step = max(1, _BLOCK // n)
    blocks = [slice(start, start + step) for start in range(0, d, step)]

    def centred(block: slice) -> Tensor:
        return torch.from_numpy(as_floats(stored[:, block])).double() - mean[block]

    products = np.zeros((n, n), order="F")
    for block in blocks:
        # The products are symmetric, so that half of them are enough.
        part = np.asfortranarray(centred(block).numpy())
        products = scipy.linalg.blas.dsyrk(1.0, part, 1.0, products, lower=1, overwrite_c=1)
    leading = _leading(torch.from_numpy(products), k)
    spanned = torch.cat([centred(block).T @ leading for block in blocks])
    basis: Tensor = torch.linalg.qr(spanned).Q
    return basis


def _iterated(images: DeviceImages, mean: Tensor, k: int) -> Tensor:
    """Return the components if the covariance is too large for memory, by subspace iteration.

    A pass reads all images and multiplies twice as many directions as are wanted by the covariance.
    The passes end when the variance in the leading directions does not change any more, so that
    the components are as good as exact (N. Halko, P. Martinsson, J. Tropp 2011).
    """
    d = len(mean)
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(d, min(d, 2 * k + 8), generator=generator, dtype=torch.float64)
    directions, before = torch.linalg.qr(directions).Q, 0.0
    leading: Tensor = directions[:, :k]
    for _ in range(_PASSES):
        product = torch.zeros_like(directions)
        for rows in _rows(images):
            centred = rows.double().sub_(mean)
            product.addmm_(centred.T, centred @ directions)
        variances, turned = torch.linalg.eigh(directions.T @ product)
        leading = directions @ turned[:, -k:].flip(1)
        captured = float(variances[-k:].sum())
        if captured - before <= _SETTLED * abs(captured):
            break
        directions, before = torch.linalg.qr(product).Q, captured
    return leading


def _rows(images: DeviceImages) -> Iterator[Tensor]:
    """Yield images as float32 rows (B, D) on the CPU."""
    for batch in images.in_order(min(_ROWS, max(1, _BLOCK // images.values_of_image))):
        yield _flat(batch)


def _flat(images: Tensor) -> Tensor:
    return images.cpu().contiguous().flatten(1)
