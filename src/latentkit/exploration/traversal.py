"""One latent dimension changes, the others stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.exploration.common import Decode, Floats, LatentScale, decode_grid


@dataclass(frozen=True)
class Traversals:
    """A row of images for each dimension.

    Args:
        latents: (M, S, D).
        images: (M, S, C, H, W), decoded, in [0, 1].
        dimensions: (M,), which dimension changes in each row.
        sigmas: (S,), where it is set: standard deviations of the training latents from their mean.
        start: (D,), the latent that all rows pass by, in sigmas.
        weights: (M,), how much each dimension carries.
        weight_name: what the weight is, with its unit.
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
    """Set one dimension after the other to values between -reach and reach sigmas.

    Args:
        decode: makes images of latents.
        start: (D,), where the other dimensions stay.
        scale: of the training latents.
        steps: values a dimension.
        reach: the farthest, in sigmas.
        dimensions: which to show; all, sorted by their weight, where None.

    Raises:
        UserError: a dimension that is not there, fewer than two steps, or no reach.
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
    """Refuse a dimension that is not there.

    Raises:
        UserError: names those that are.
    """
    if not 0 <= dimension < count:
        raise UserError(
            f"there is no latent dimension {dimension}: the latents have 0 to {count - 1}"
        )
