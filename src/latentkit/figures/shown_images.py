"""Which channels and shades of images are shown, in figures and on pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def displayed(images: NDArray[Any], channels: Sequence[int] = ()) -> NDArray[Any]:
    """Return the channels that pictures show, of images (..., C, H, W) of any type.

    Args:
        images: the images.
        channels: one or three numbers; empty for the first three, or for the first of fewer.

    Returns:
        Images (..., 1 or 3, H, W).
    """
    if channels:
        return images[..., list(channels), :, :]
    return images[..., : 3 if images.shape[-3] >= 3 else 1, :, :]


def unit_range(images: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Convert images, uint8, uint16 or float, to floats in [0, 1]."""
    return images / np.iinfo(images.dtype).max if images.dtype.kind == "u" else images.clip(0, 1)
