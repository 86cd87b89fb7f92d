"""``sprites``: white shapes on black, with exactly known factors.

The images resemble dSprites (L. Matthey et al., 2017) and are generated on demand. The factors are
the shape (square, ellipse or heart), its scale, rotation and position, each drawn uniformly and
independently. The value of a pixel is the share of its area that the shape covers, sampled at 4x4
points.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.datasets.options import SpritesOptions
from latentkit.plugin import ImageData, Split

_SHAPES = ("square", "ellipse", "heart")
_FACTORS = ("shape", "scale", "rotation", "x", "y")
_SCALES = (0.25, 0.5)  # half the width of the shape; the image spans -1 to 1
_PLACES = (-0.45, 0.45)  # centre of the shape along each axis
_POINTS = 4  # sample points along each side of a pixel
_CHUNK = 64
_HALF_SIDE = 0.8  # of the square, at scale 1
Values = NDArray[np.floating[Any]]
_Inside = Callable[[Values, Values], NDArray[np.bool_]]


def load(options: SpritesOptions, split: Split, cache: Path) -> ImageData:
    """Return the images of a split, (N, 1, size, size), with their factors (N, 5).

    The factors are ``shape``, ``scale``, ``rotation``, ``x`` and ``y``. ``shape`` is 0 for a
    square, 1 for an ellipse and 2 for a heart. ``scale``, ``x`` and ``y`` are in units of half the
    image width. ``rotation`` is in radians, counter-clockwise, from 0 to below 2 pi.
    """
    n = options.n_train if split == "train" else options.n_test
    generator = np.random.default_rng([options.seed, 0 if split == "train" else 1])
    shapes = generator.integers(0, len(_SHAPES), n)
    factors = np.column_stack(
        [
            shapes,
            generator.uniform(*_SCALES, n),
            generator.uniform(0, 2 * np.pi, n),
            generator.uniform(*_PLACES, n),
            generator.uniform(*_PLACES, n),
        ]
    )
    images = np.empty((n, options.size, options.size), np.uint8)
    for code, inside in enumerate((_square, _ellipse, _heart)):
        rows = np.flatnonzero(shapes == code)
        for chunk in np.array_split(rows, len(rows) // _CHUNK + 1):
            images[chunk] = _draw(inside, factors[chunk, 1:], options.size)
    return ImageData(
        images=images[:, None],
        labels=shapes.astype(np.int64),
        class_names=_SHAPES,
        factors=factors,
        factor_names=_FACTORS,
        licence="CC0-1.0",
    )


def _draw(inside: _Inside, factors: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Return sprites of one shape (B, size, size); the factors are scale, rotation, x, y."""
    side = size * _POINTS
    at = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    scale, rotation, x, y = (column[:, None, None] for column in factors.T.astype(np.float32))
    dx, dy = at[None, None, :] - x, -at[None, :, None] - y  # y points up, rows go down
    # Rotate and scale the sample points back, so that every shape is tested at scale 1, upright.
    cosine, sine = np.cos(rotation) / scale, np.sin(rotation) / scale
    hits = inside(cosine * dx + sine * dy, cosine * dy - sine * dx)
    # Count the points of each pixel in two steps: sums of at most 16 fit into bytes.
    counts = hits.reshape(-1, size, _POINTS, side).sum(2, dtype=np.uint8)
    counts = counts.reshape(-1, size, size, _POINTS).sum(3, dtype=np.uint8)
    levels = np.rint(np.linspace(0, 255, _POINTS**2 + 1)).astype(np.uint8)
    drawn: NDArray[np.uint8] = levels[counts]
    return drawn


def _square(u: Values, v: Values) -> NDArray[np.bool_]:
    return (np.abs(u) <= _HALF_SIDE) & (np.abs(v) <= _HALF_SIDE)


def _ellipse(u: Values, v: Values) -> NDArray[np.bool_]:
    return np.asarray(u * u + 4 * v * v <= 1)


def _heart(u: Values, v: Values) -> NDArray[np.bool_]:
    """Return where (a^2 + b^2 - 1)^3 <= a^2 b^3, scaled to the width of the other shapes."""
    a, b = 1.2 * u, 1.2 * v + 0.1
    a2, b2 = a * a, b * b
    ring = a2 + b2 - 1
    return np.asarray(ring * ring * ring <= a2 * b2 * b)
