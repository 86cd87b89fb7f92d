"""Checks of the vectors that an embedding maps, with one wording for all embeddings.

An embedding calls `check_map_size` in its ``estimate``, so that a run is refused before it trains,
`checked_vectors` in its fit, and `checked_new_vectors` in its ``transform``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from latentkit.errors import UserError


def checked_vectors(
    vectors: Any,
    name: str,
    *,
    n_components: int,
    least: int,
    remedy: str = "map more",
    dtype: DTypeLike | None = np.float32,
) -> NDArray[np.floating[Any]]:
    """Return vectors (N, D) for a fit as a contiguous array.

    Args:
        vectors: array-like that the user gave.
        name: name of the embedding, for messages.
        n_components: dimensions of the map.
        least: fewest vectors that the embedding needs.
        remedy: what the user can do if there are fewer, ``map more`` by default.
        dtype: type of the returned array, float32 by default; see `finite_vectors`.

    Raises:
        UserError: there are too few vectors or dimensions, all vectors are equal, or one of them
            is not finite.
    """
    points = finite_vectors(vectors, name, dtype)
    n, d = points.shape
    check_map_size(n, d, name, n_components=n_components, least=least, remedy=remedy)
    if (points == points[0]).all():
        raise UserError(
            f"embedding {name!r}: all {n:,} vectors are equal, so there is nothing to map: give "
            f"vectors that differ (the latents of different images are equal if the model learned "
            f"nothing: train it for longer, or with other options)"
        )
    return points


def checked_new_vectors(
    vectors: Any, name: str, dimensions: int | None, dtype: DTypeLike | None = np.float32
) -> NDArray[np.floating[Any]]:
    """Return new vectors (M, D) for a fitted map as a contiguous array; M may be 0.

    Args:
        vectors: array-like that the user gave.
        name: name of the embedding, for messages.
        dimensions: D of the fitted vectors; None if there was no fit.
        dtype: type of the returned array, float32 by default; see `finite_vectors`.

    Raises:
        UserError: the embedding is not fitted, a vector is not finite, or D differs from that of
            the fitted vectors.
    """
    if dimensions is None:
        raise UserError(f"embedding {name!r}: fit it before transform is called")
    points = finite_vectors(vectors, name, dtype)
    if points.shape[1] != dimensions:
        raise UserError(
            f"embedding {name!r}: the new vectors have {points.shape[1]} dimensions, those of the "
            f"fit had {dimensions}"
        )
    return points


def check_map_size(
    n: int, d: int, name: str, *, n_components: int, least: int, remedy: str = "map more"
) -> None:
    """Refuse ``n`` vectors of ``d`` dimensions that cannot be mapped, whatever they are.

    Args:
        n: number of vectors.
        d: their dimensions.
        name: name of the embedding, for messages.
        n_components: dimensions of the map.
        least: fewest vectors that the embedding needs.
        remedy: what the user can do if there are fewer, ``map more`` by default.

    Raises:
        UserError: there are fewer than ``least``, or they have too few dimensions.
    """
    if n < least:
        raise UserError(
            f"embedding {name!r} needs {least:,} vectors or more and got {n:,}: {remedy}"
        )
    if d < n_components:
        dimensions = "1 dimension" if d == 1 else f"{d} dimensions"
        way_out = f"lower {name}.n_components to {d}, or " if d >= 2 else ""
        raise UserError(
            f"embedding {name!r}: vectors of {dimensions} cannot be mapped to {n_components}: "
            f"{way_out}use more latent dimensions"
        )


def finite_vectors(
    vectors: Any, name: str, dtype: DTypeLike | None = np.float32
) -> NDArray[np.floating[Any]]:
    """Return vectors (N, D) as a contiguous array, all of them finite.

    This may be the user's own array, so do not change it.

    Args:
        vectors: array-like that the user gave.
        name: name of the embedding, for messages.
        dtype: type of the returned array, float32 by default; None keeps float64, and makes float32
            of all other types.

    Raises:
        UserError: they are not numbers (N, D), or a row is not finite; the message has its number.
    """
    try:
        given = np.asarray(vectors)
    except (ValueError, TypeError, RuntimeError) as error:  # such as rows that differ in length
        reason = " ".join(str(error).split())
        raise UserError(
            f"embedding {name!r}: vectors are not an array of numbers: {reason}"
        ) from error
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        raise UserError(
            f"embedding {name!r}: vectors must be numbers (N, D), not {given.dtype} {given.shape}"
        )
    if dtype is None:
        dtype = np.float64 if given.dtype == np.float64 else np.float32
    with np.errstate(over="ignore"):  # values too large for float32 are reported below
        points: NDArray[np.floating[Any]] = np.ascontiguousarray(given, dtype)
    # A finite sum means that all values are finite, and takes no memory to check.
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
