"""A plane through the latents, decoded on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.exploration.common import Decode, Floats, decode_grid
from latentkit.exploration.traversal import check_dimension


@dataclass(frozen=True)
class Plane:
    """A plane in the latent space.

    Args:
        origin: (D,), where both coordinates are 0.
        axes: (2, D), orthonormal.
        names: names of the two axes.
    """

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    names: tuple[str, str]

    def coordinates(self, latents: Floats) -> NDArray[np.float64]:
        """Project latents (N, D) onto the plane; return (N, 2), in latent units."""
        return (np.asarray(latents, np.float64) - self.origin) @ self.axes.T

    def latents(self, coordinates: NDArray[np.float64]) -> Floats:
        """Return the latents (..., D) of points (..., 2) on the plane."""
        return (coordinates @ self.axes + self.origin).astype(np.float32)


@dataclass(frozen=True)
class ManifoldGrid:
    """A plane, decoded on a grid of points.

    Args:
        latents: (R, K, D), the points of the grid.
        images: (R, K, C, H, W), decoded, in [0, 1].
        x: (K,), positions of the columns on the first axis, ascending, in latent units.
        y: (R,), positions of the rows on the second axis, ascending, in latent units.
        points: (N, 2), projections of the given latents onto the plane.
        names: names of the two axes.
    """

    latents: Floats
    images: Floats
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    points: NDArray[np.float64]
    names: tuple[str, str]


def dimension_plane(latents: Floats, first: int, second: int) -> Plane:
    """Return the plane of two dimensions; the others stay at the mean of latents (N, D).

    Raises:
        UserError: a dimension does not exist, or both are the same.
    """
    count = latents.shape[1]
    check_dimension(first, count)
    check_dimension(second, count)
    if first == second:
        raise UserError(f"a plane needs two different dimensions, not {first} twice")
    origin = latents.mean(axis=0, dtype=np.float64)
    origin[[first, second]] = 0
    return Plane(origin, np.eye(count)[[first, second]], (f"latent {first}", f"latent {second}"))


def principal_plane(latents: Floats) -> Plane:
    """Return the plane of the two leading principal directions of latents (N, D), D at least 2.

    The sign of each direction makes its largest entry positive.
    """
    values = np.asarray(latents, np.float64)
    origin = values.mean(axis=0)
    centred = values - origin
    spread, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    axes = directions[:, [-1, -2]].T
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[[0, 1], largest])[:, None]
    shares = spread[[-1, -2]] / max(spread.sum(), np.finfo(float).tiny)
    first, second = (
        f"principal direction {number} ({share:.0%} of the variance)"
        for number, share in enumerate(shares, 1)
    )
    return Plane(origin, axes, (first, second))


def plane_through(latents: Floats, dimensions: tuple[int, int] | None = None) -> Plane:
    """Return the plane of two dimensions; if None, the plane that shows most of the latents.

    With two latent dimensions this is the whole space, otherwise the plane of the two leading
    principal directions.

    Raises:
        UserError: there is only one latent dimension, or a dimension does not exist.
    """
    if latents.shape[1] < 2:
        raise UserError("a grid needs two latent dimensions, but there is one: use a traversal")
    if dimensions is not None:
        return dimension_plane(latents, *dimensions)
    return dimension_plane(latents, 0, 1) if latents.shape[1] == 2 else principal_plane(latents)


def manifold_grid(
    decode: Decode, plane: Plane, latents: Floats, *, steps: int = 16, coverage: float = 0.98
) -> ManifoldGrid:
    """Decode the part of a plane that latents cover.

    Args:
        decode: function from latents to images.
        plane: the plane to decode.
        latents: (N, D); the grid covers the middle ``coverage`` of them on each axis.
        steps: number of rows, and of columns.
        coverage: share of the latents, above 0 and at most 1.

    Raises:
        UserError: fewer than two steps.
    """
    if steps < 2:
        raise UserError(f"a grid needs 2 or more steps, not {steps}")
    points = plane.coordinates(latents)
    low, high = np.quantile(points, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    flat = high - low <= 0  # if all latents coincide, the grid is one latent unit wide
    low, high = low - 0.5 * flat, high + 0.5 * flat
    x, y = (np.linspace(a, b, steps) for a, b in zip(low, high, strict=True))
    nodes = plane.latents(np.stack(np.meshgrid(x, y), axis=-1))
    return ManifoldGrid(nodes, decode_grid(decode, nodes), x, y, points, plane.names)
