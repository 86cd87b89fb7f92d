"""Procrustes alignment of a map to another map of the same points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Coordinates = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """Similarity transform of a map to a reference: ``coordinates @ rotation * scale + shift``.

    Args:
        rotation: orthogonal (D, D); it includes a reflection if that fits better.
        scale: above 0.
        shift: (D,).
        disparity: sum of squared distances from the transformed points to the reference, divided
            by that from the reference to its mean; 0 (equal) to 1.
    """

    rotation: Coordinates
    scale: float
    shift: Coordinates
    disparity: float

    def __call__(self, coordinates: NDArray[np.floating[Any]]) -> Coordinates:
        """Return the transformed coordinates (N, D)."""
        moved: Coordinates = self.scale * (coordinates @ self.rotation) + self.shift
        return moved


def align(
    coordinates: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]
) -> Alignment:
    """Return the least-squares similarity from ``coordinates`` (N, D) to ``reference`` (N, D).

    This is ordinary Procrustes analysis (J. Gower 1975) with translation, rotation or reflection,
    and one scale.

    Raises:
        ValueError: the shapes differ, or all points of one side are equal.
    """
    if coordinates.shape != reference.shape:
        raise ValueError(f"shape {coordinates.shape} cannot be aligned to {reference.shape}")
    here, there = coordinates.mean(0), reference.mean(0)
    a, b = coordinates - here, reference - there
    spread_a, spread_b = float(np.square(a).sum()), float(np.square(b).sum())
    if spread_a == 0 or spread_b == 0:
        raise ValueError("all points are equal")
    u, singular, v = np.linalg.svd(a.T @ b)
    rotation = u @ v
    scale = float(singular.sum()) / spread_a
    disparity = max(0.0, 1 - float(singular.sum()) ** 2 / (spread_a * spread_b))
    return Alignment(rotation, scale, there - scale * here @ rotation, disparity)
