"""Checks of the vectors that an embedding fits or transforms, and a neighbour search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex


def checked_vectors(
    vectors: Any, name: str, *, n_components: int, least: int, dtype: DTypeLike = np.float32
) -> NDArray[np.floating[Any]]:
    """Return vectors (N, D) to fit as a contiguous array.

    Args:
        vectors: array-like that the user gave.
        name: name of the embedding, for messages.
        n_components: dimensions of the map.
        least: fewest vectors that the embedding needs.
        dtype: type of the returned array.

    Raises:
        UserError: there are too few vectors or dimensions, all vectors are equal, or one of them
            is not finite.
    """
    points = finite_vectors(vectors, name, dtype)
    check_size(len(points), points.shape[1], name, n_components=n_components, least=least)
    if (points == points[0]).all():
        raise UserError(
            f"embedding {name!r}: all {len(points):,} vectors are equal, so there is nothing "
            f"to map: give vectors that differ (the latents of different images are equal if the "
            f"model learned nothing: train it for longer, or with other options)"
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
        dimensions = "1 dimension" if d == 1 else f"{d} dimensions"
        way_out = f"lower {name}.n_components to {d}, or " if d >= 2 else ""
        raise UserError(
            f"embedding {name!r}: vectors of {dimensions} cannot be mapped to {n_components}: "
            f"{way_out}use more latent dimensions"
        )


def checked_new(
    vectors: Any, name: str, fitted: NDArray[np.floating[Any]] | None, exponent: int | None = None
) -> NDArray[np.floating[Any]]:
    """Return new vectors (M, D) for ``transform``, in the precision of the fitted vectors.

    Args:
        vectors: array-like that the user gave.
        name: name of the embedding, for messages.
        fitted: (N, D), the vectors of the fit; None if there was none.
        exponent: binary exponent by which the fitted vectors were scaled, see `scaling`; None for a
            method that does not ignore the scale.

    Raises:
        UserError: the embedding is not fitted, a vector is not finite, or D differs from that of
            the fitted vectors.
    """
    if fitted is None:
        raise UserError(f"embedding {name!r}: fit it before transform is called")
    points = finite_vectors(vectors, name, fitted.dtype)
    if points.shape[1] != fitted.shape[1]:
        raise UserError(
            f"embedding {name!r}: the new vectors have {points.shape[1]} dimensions, those of the "
            f"fit had {fitted.shape[1]}"
        )
    if exponent is not None:
        with np.errstate(over="ignore"):
            points = np.clip(np.ldexp(points, exponent), -_FARTHEST, _FARTHEST)
    return points


def finite_vectors(vectors: Any, name: str, dtype: DTypeLike) -> NDArray[np.floating[Any]]:
    """Return vectors (N, D) as a contiguous array of ``dtype``, all of them finite.

    Raises:
        UserError: they are not numbers (N, D), or a row is not finite; the message has its number.
    """
    given = as_array(vectors, name)
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        raise UserError(
            f"embedding {name!r}: vectors must be numbers (N, D), not {given.dtype} {given.shape}"
        )
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


def checked_labels(labels: Any, n: int, name: str) -> NDArray[np.int64]:
    """Return labels (n,), -1 where one is missing.

    Raises:
        UserError: they are not integers, not one for each vector, or all of them are missing.
    """
    given = None if labels is None else np.asarray(labels)
    if given is None or given.shape != (n,) or given.dtype.kind not in "iub":
        got = "none" if given is None else f"{given.dtype} {given.shape}"
        raise UserError(
            f"embedding {name!r} with {name}.target=labels needs an integer label for each of "
            f"{n:,} vectors, -1 where it is missing, and got {got}"
        )
    if (given < 0).all():
        raise UserError(f"embedding {name!r}: all labels are missing: set {name}.target=none")
    return np.maximum(given.astype(np.int64), -1)


def as_array(vectors: Any, name: str) -> NDArray[Any]:
    """Return what a user gave as an array of any type.

    Raises:
        UserError: it is none, for example because its rows differ in length.
    """
    try:
        return np.asarray(vectors)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"embedding {name!r}: vectors are no array of numbers: {reason}") from error


_FARTHEST = 2.0**100
"""Largest value of a scaled new vector; to be farther away makes no difference."""
_USUAL_EXPONENTS = range(-20, 21)


def scaling(points: NDArray[np.floating[Any]]) -> int:
    """Return the binary exponent by which to scale vectors for a method that ignores their scale.

    Squares of very large or small numbers leave the range of float32, and the bandwidths of very
    large or small distances are not found: the map would have no structure. The exponent brings the
    largest value near 1. It is 0 if the largest value is between one millionth and a million, so
    that usual vectors stay as they are.
    """
    exponent = int(np.frexp(np.abs(points).max())[1])
    return 0 if exponent in _USUAL_EXPONENTS else -exponent


def nearest(
    vectors: NDArray[np.floating[Any]],
    k: int,
    queries: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return indices and distances (M, k) of the ``k`` nearest ``vectors``, nearest first.

    Distances above 2^40 are scaled down, see `brought_near`.

    Args:
        vectors: (N, D), more than ``k``.
        k: number of neighbours.
        queries: (M, D); None for the vectors themselves. A vector is then not its own neighbour.
    """
    index = NeighborIndex(vectors)
    found = index.neighbors(k) if queries is None else index.query(queries, k)
    return found.indices, brought_near(found.distances, 40).astype(np.float64)


def brought_near(distances: NDArray[np.floating[Any]], exponent: int) -> NDArray[np.floating[Any]]:
    """Return distances (M, k), in which no row reaches far above 2 to the power of ``exponent``.

    All distances of a row are scaled together. A method that finds a bandwidth for each row uses
    only their ratios, and finds none for very large distances.
    """
    nearer = np.minimum(exponent - np.frexp(distances.max(axis=1))[1], 0)
    near: NDArray[np.floating[Any]] = np.ldexp(distances, nearer[:, None])
    return near
