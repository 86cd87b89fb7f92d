"""Validation of vectors: return a finite matrix, or raise an error of one line."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from latentkit.errors import UserError
from latentkit.neighbors.blocks import Floats

_CHUNK = 65_536


class VectorsError(UserError, ValueError):
    """Vectors are invalid; also a ValueError, as users of scikit-learn expect."""


def as_vectors(vectors: ArrayLike, dimensions: int | None = None) -> Floats:
    """Return a float32 copy (n, d) of ``vectors``, with rows contiguous in memory.

    Args:
        vectors: anything that converts to a matrix of real numbers.
        dimensions: the expected d, or None if any d is valid.

    Raises:
        VectorsError: it is not a matrix, holds NaN or infinity, or has another d.
    """
    try:
        rows: Floats = check_array(
            vectors, dtype=np.float32, order="C", copy=True, ensure_all_finite=False
        )
    except ValueError as error:
        raise VectorsError(" ".join(str(error).split())) from error
    if dimensions not in (None, rows.shape[1]):
        raise VectorsError(f"vectors have {rows.shape[1]} columns, expected {dimensions}")
    refuse_gaps(rows)
    return rows


def refuse_gaps(rows: Floats) -> None:
    """Raise an error if a row holds NaN or infinity.

    Raises:
        VectorsError: a row is not finite; the message names the first one.
    """
    for start in range(0, len(rows), _CHUNK):
        finite = np.isfinite(rows[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            what = "NaN" if np.isnan(rows[row]).any() else "infinity (or a number above 3e38)"
            raise VectorsError(f"row {row} of the vectors holds {what}; remove or repair such rows")
