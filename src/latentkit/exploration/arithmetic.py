"""Latent arithmetic: the difference between two classes is added to an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.exploration.common import Decode, Floats


@dataclass(frozen=True)
class Arithmetic:
    """An item to which the difference between two classes is added, step by step.

    Args:
        latents: (S, D), the item + amount x difference.
        images: (S, C, H, W), decoded, in [0, 1].
        amounts: (S,), how many times the difference is added.
        difference: (D,), mean of the added class minus mean of the subtracted class.
        mean_images: (2, C, H, W), both class means, decoded; the added class first.
    """

    latents: Floats
    images: Floats
    amounts: NDArray[np.float64]
    difference: Floats
    mean_images: Floats


def add_difference(
    decode: Decode,
    start: Floats,
    latents: Floats,
    labels: NDArray[np.integer[Any]],
    plus: int,
    minus: int,
    amounts: Sequence[float] = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5),
) -> Arithmetic:
    """Add the mean latent of class ``plus`` minus that of class ``minus`` to ``start`` (D,).

    Args:
        decode: function from latents to images.
        start: (D,), the item's latent.
        latents: (N, D), of training images.
        labels: (N,), labels of these images.
        plus: label of the class that is added.
        minus: label of the class that is subtracted.
        amounts: how many times the difference is added, one number for each image.

    Raises:
        UserError: no latent has one of the labels.
    """
    means = []
    for label in (plus, minus):
        own = latents[labels == label]
        if not len(own):
            raise UserError(f"no training image has the label {label}")
        means.append(own.mean(axis=0, dtype=np.float64))
    difference = means[0] - means[1]
    steps = np.asarray(amounts, np.float64)
    values = (np.asarray(start, np.float64) + steps[:, None] * difference).astype(np.float32)
    return Arithmetic(
        latents=values,
        images=decode(values),
        amounts=steps,
        difference=difference.astype(np.float32),
        mean_images=decode(np.stack(means).astype(np.float32)),
    )
