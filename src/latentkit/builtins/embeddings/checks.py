"""What every embedding checks of the vectors it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from latentkit.errors import UserError


def checked_vectors(
    vectors: Any, name: str, *, n_components: int, least: int, dtype: DTypeLike = np.float32
) -> NDArray[np.floating[Any]]:
    """Return vectors (N, D) to fit as a contiguous array.

    Args:
        vectors: what the user gave.
        name: of the embedding, for messages.
        n_components: of the map.
        least: how many vectors the embedding needs.
        dtype: of the array.

    Raises:
        UserError: too few vectors or dimensions, all vectors equal, or one that is not finite.
    """
    points = finite_vectors(vectors, name, dtype)
    n, d = points.shape
    if n < least:
        raise UserError(f"embedding {name!r} needs {least} vectors or more and got {n}: map more")
    if d < n_components:
        raise UserError(
            f"embedding {name!r}: vectors of {d} dimensions have no map of {n_components}: lower "
            f"{name}.n_components, or use more latents"
        )
    if (points == points[0]).all():
        raise UserError(f"embedding {name!r}: all {n:,} vectors are equal, there is nothing to map")
    return points


def checked_new(
    vectors: Any, name: str, fitted: NDArray[np.floating[Any]] | None
) -> NDArray[np.floating[Any]]:
    """Return new vectors (M, D) for ``transform`` in the precision of those of the fit.

    Raises:
        UserError: there is no fit, or the vectors are not like those of the fit.
    """
    if fitted is None:
        raise UserError(f"embedding {name!r}: fit it before new points are placed")
    points = finite_vectors(vectors, name, fitted.dtype)
    if points.shape[1] != fitted.shape[1]:
        raise UserError(
            f"embedding {name!r}: the new vectors have {points.shape[1]} dimensions, those of the "
            f"fit had {fitted.shape[1]}"
        )
    return points


def finite_vectors(vectors: Any, name: str, dtype: DTypeLike) -> NDArray[np.floating[Any]]:
    """Return vectors (N, D) as a contiguous array of ``dtype``, all of them finite.

    Raises:
        UserError: they are not, with the first row that is wrong.
    """
    given = np.asarray(vectors)
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        raise UserError(
            f"embedding {name!r}: vectors must be numbers (N, D), not {given.dtype} {given.shape}"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 is told below
        points: NDArray[np.floating[Any]] = np.ascontiguousarray(given, dtype)
    # The sum is finite for nearly all input, and takes no memory.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(points.sum(dtype=np.float64))
    if suspect:
        rows = np.flatnonzero(~np.isfinite(points).all(1))
        if len(rows):
            count = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
            raise UserError(
                f"embedding {name!r}: row {rows[0]} of the vectors holds NaN or infinity in "
                f"{points.dtype}{count}"
            )
    return points
