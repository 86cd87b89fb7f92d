"""Reconstructions of the same items by models with different settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.exploration.common import Decode, Floats

Encode = Decode
"""Images (N, C, H, W) in [0, 1] to latents (N, D)."""


@dataclass(frozen=True)
class Settings:
    """Items, and their reconstructions by each of several models.

    Args:
        names: (M,), names of the models.
        originals: (N, C, H, W), in [0, 1].
        latents: one array (N, D) for each model; D may differ.
        images: (M, N, C, H, W), reconstructions in [0, 1].
        errors: (M, N), mean squared error per pixel.
    """

    names: tuple[str, ...]
    originals: Floats
    latents: tuple[Floats, ...]
    images: Floats
    errors: NDArray[np.float64]


def compare_settings(models: Mapping[str, tuple[Encode, Decode]], originals: Floats) -> Settings:
    """Reconstruct images (N, C, H, W) with each of several models.

    Args:
        models: encoder and decoder by name, in the order in which they are shown. The models can
            differ in epochs of one training, in the size of the latents, or in anything else.
        originals: the images, in [0, 1].

    Raises:
        UserError: there is no model.
    """
    if not models:
        raise UserError("there is no model to reconstruct with")
    latents = tuple(encode(originals) for encode, _ in models.values())
    decoders = (decode for _, decode in models.values())
    images = np.stack([decode(codes) for decode, codes in zip(decoders, latents, strict=True)])
    squares = (images.astype(np.float64) - originals) ** 2
    errors = squares.mean(axis=(2, 3, 4))
    return Settings(tuple(models), originals, latents, images, errors)
