"""Traversals: one latent dimension changes while the others stay fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.exploration.common import Decode, Floats, LatentScale, decode_grid


@dataclass(frozen=True)
class Traversals:
    """A row of images for each traversed dimension.

    Args:
        latents: (M, S, D).
        images: (M, S, C, H, W), decoded, in [0, 1].
        dimensions: (M,), which dimension changes in each row.
        sigmas: (S,), its values, in standard deviations of the training latents from their mean.
        start: (D,), the latent whose dimensions are changed, in sigmas.
        weights: (M,), how much information each dimension carries.
        weight_name: name of the weight, with its unit.
    """

    latents: Floats
    images: Floats
    dimensions: NDArray[np.intp]
    sigmas: NDArray[np.float64]
    start: NDArray[np.float64]
    weights: NDArray[np.float64]
    weight_name: str


def traverse(
    decode: Decode,
    start: Floats,
    scale: LatentScale,
    *,
    steps: int = 9,
    reach: float = 3.0,
    dimensions: Sequence[int] | None = None,
) -> Traversals:
    """Vary one dimension at a time between -reach and reach sigmas from the mean.

    Args:
        decode: function from latents to images.
        start: (D,), the latent that gives the other dimensions.
        scale: spread of the training latents.
        steps: number of values for each dimension.
        reach: largest distance from the mean, in sigmas.
        dimensions: which to vary; None for all, sorted by their weight.

    Raises:
        UserError: a dimension does not exist, there are fewer than two steps, or ``reach`` is not
            positive and finite.
    """
    if steps < 2 or not 0 < reach < np.inf:
        raise UserError(
            f"a traversal needs 2 or more steps and a reach above 0, not {steps} and {reach:g}"
        )
    count = len(scale.mean)
    chosen = scale.order if dimensions is None else np.array(list(dimensions), np.intp)
    for dimension in chosen:
        check_dimension(int(dimension), count)
    sigmas = np.linspace(-reach, reach, steps)
    latents = np.tile(np.asarray(start, np.float32), (len(chosen), steps, 1))
    for row, dimension in enumerate(chosen):
        latents[row, :, dimension] = scale.mean[dimension] + sigmas * scale.sigma[dimension]
    return Traversals(
        latents=latents,
        images=decode_grid(decode, latents),
        dimensions=chosen,
        sigmas=sigmas,
        start=scale.in_sigmas(start),
        weights=scale.weight[chosen],
        weight_name=scale.weight_name,
    )


def check_dimension(dimension: int, count: int) -> None:
    """Refuse a dimension that does not exist.

    Raises:
        UserError: names the dimensions that exist.
    """
    if not 0 <= dimension < count:
        raise UserError(f"there is no latent dimension {dimension}: choose from 0 to {count - 1}")
