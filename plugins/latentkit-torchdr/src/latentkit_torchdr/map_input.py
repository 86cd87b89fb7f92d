"""The form in which TorchDR gets vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_FARTHEST = 2.0**10  # times the extent of the fitted vectors: farther away makes no difference


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

    def moved(self, points: Floats) -> Floats:
        """Return vectors (M, D) in this frame; those very far outside are brought nearer."""
        with np.errstate(over="ignore"):
            scaled = np.ldexp(points - self._origin, self._exponent)
        return np.clip(scaled, -_FARTHEST, _FARTHEST).astype(np.float32)
