"""Projections of vectors to few dimensions, which rule out most points of a search.

A projection holds the leading principal components of a vector and, as its last coordinate, the
length of the remainder. By the triangle inequality, the distance between two projections is a lower
bound on the distance between the vectors. For images and latents, the bound is close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from latentkit.neighbors.blocks import Floats

LEAST = 16
"""Usual dimensions of a projection. Vectors of at most this many dimensions are not projected."""
_MOST, _MANY_COLUMNS = 96, 256
_ENOUGH = 0.85
"""Vectors of many columns, such as pixels, get `_MOST` dimensions if fewer have a smaller share of
the variance. Otherwise too many points are compared in full, which takes longer."""
_PROJECTION_SAMPLE = 4_096
_CHUNK = 16_384
_ROUNDING = 4e-6


@dataclass(frozen=True)
class Projections:
    """Projection of vectors to p dimensions.

    Args:
        mean: (d,).
        axes: (d, p - 1), orthonormal.
        slack: how much rounding may add to the distance between two projections.
    """

    mean: Floats
    axes: Floats
    slack: float

    def cast(self, vectors: Floats) -> Floats:
        """Return the projections (n, p) of vectors (n, d)."""
        projections = np.empty((len(vectors), self.axes.shape[1] + 1), np.float32)
        # Several threads would sum in another order, and so round differently.
        with threadpool_limits(limits=1, user_api="blas"):
            for start in range(0, len(vectors), _CHUNK):
                centred = vectors[start : start + _CHUNK] - self.mean
                part = projections[start : start + _CHUNK]
                part[:, :-1] = centred @ self.axes
                left = centred - part[:, :-1] @ self.axes.T
                part[:, -1] = np.sqrt(np.einsum("ij,ij->i", left, left))
        return projections


def fit_projections(vectors: Floats, rng: np.random.Generator) -> Projections | None:
    """Return a projection for vectors (n, d), or None if d is at most `LEAST`."""
    n, d = vectors.shape
    if d <= LEAST:
        return None
    sample = vectors[np.sort(rng.choice(n, min(n, _PROJECTION_SAMPLE), replace=False))]
    mean: NDArray[Any] = sample.mean(axis=0)
    with threadpool_limits(limits=1, user_api="blas"):
        axes = _leading_axes(sample - mean, rng)
        few = axes[:, : LEAST - 1]
        if _share(sample - mean, few) >= _ENOUGH:
            axes = np.ascontiguousarray(few)
    reach = max(
        float(np.abs(part - mean).max()) for part in np.array_split(vectors, n // _CHUNK + 1)
    )
    return Projections(mean, axes, _ROUNDING * reach * float(np.sqrt(d)))


def _leading_axes(centred: Floats, rng: np.random.Generator) -> Floats:
    """Return approximate leading principal axes (d, p - 1): any orthonormal axes are valid."""
    d = centred.shape[1]
    count = (_MOST if d >= _MANY_COLUMNS else LEAST) - 1
    axes = np.linalg.qr(rng.standard_normal((d, count)))[0]
    for _ in range(6):
        axes = np.linalg.qr(centred.T @ (centred @ axes))[0]
    return axes.astype(np.float32)


def _share(centred: Floats, axes: Floats) -> float:
    """Return the share of the variance that lies along the axes."""
    return float(np.square(centred @ axes).sum() / max(np.square(centred).sum(), 1e-30))
