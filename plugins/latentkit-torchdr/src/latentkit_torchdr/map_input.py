"""Checks of the vectors that are mapped, and the form in which TorchDR gets them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError

Floats = NDArray[np.float32]
_FARTHEST = 2.0**10  # times the extent of the fitted vectors: farther away makes no difference


def finite(vectors: Any, name: str) -> Floats:
    """Return vectors (N, D) as float32.

    Raises:
        UserError: they are not numbers (N, D), or a row is not finite; the message has its number.
    """
    try:
        given = np.asarray(vectors)
    except ValueError as error:  # rows that differ in length
        raise UserError(f"embedding {name!r}: vectors are no array of numbers: {error}") from error
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        raise UserError(
            f"embedding {name!r}: vectors must be numbers (N, D), not {given.dtype} {given.shape}"
        )
    with np.errstate(over="ignore"):
        points: Floats = np.ascontiguousarray(given, np.float32)
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise UserError(
            f"embedding {name!r}: row {row} of the vectors holds NaN or infinity in float32"
        )
    return points


def check_size(n: int, d: int, name: str, *, n_components: int, least: int) -> None:
    """Refuse ``n`` vectors of ``d`` dimensions that cannot be mapped, whatever they are.

    Raises:
        UserError: there are fewer than ``least``, or they have too few dimensions.
    """
    if n < least:
        raise UserError(f"embedding {name!r} needs {least} vectors or more and got {n}: map more")
    if d < n_components:
        raise UserError(
            f"embedding {name!r}: vectors of {d} dimensions cannot be mapped to {n_components}: "
            f"lower {name}.n_components, or use more latent dimensions"
        )


class Frame:
    """The different vectors of a fit, moved to their median and scaled to about 1.

    TorchDR squares and subtracts in float32, so vectors far from the origin, or very large or small
    ones, would lose their distances. None of its methods depends on place or scale. The median
    stays among the vectors if one of them is very far away.

    Args:
        points: finite vectors (N, D).

    Attributes:
        vectors: (U, D), each different vector once.
        places: (N,), the row of ``vectors`` for each given one.
    """

    def __init__(self, points: Floats) -> None:
        self._origin = np.median(points, axis=0).astype(np.float64)
        spread = np.abs(points - self._origin).max()
        self._exponent = -int(np.frexp(spread)[1]) if spread else 0
        self.vectors, places = np.unique(self.moved(points), axis=0, return_inverse=True)
        self.places: NDArray[np.int64] = places.reshape(-1)

    @property
    def dimensions(self) -> int:
        """Number of dimensions of the vectors."""
        return int(self.vectors.shape[1])

    def moved(self, points: Floats) -> Floats:
        """Return vectors (M, D) in this frame; those very far outside are brought nearer."""
        with np.errstate(over="ignore"):
            scaled = np.ldexp(points - self._origin, self._exponent)
        return np.clip(scaled, -_FARTHEST, _FARTHEST).astype(np.float32)
