"""What built-in embeddings share: the scale of vectors, labels, and a neighbour search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex
from latentkit.plugin import checked_new_vectors


def checked_new(
    vectors: Any, name: str, dimensions: int | None, exponent: int
) -> NDArray[np.floating[Any]]:
    """Return new vectors (M, D) for ``transform``, scaled as the fitted ones were.

    Args:
        vectors: array-like that the user gave.
        name: name of the embedding, for messages.
        dimensions: D of the fitted vectors; None if there was no fit.
        exponent: binary exponent by which the fitted vectors were scaled, see `scaling`.

    Raises:
        UserError: the vectors cannot be used; see `latentkit.plugin.checked_new_vectors`.
    """
    points = checked_new_vectors(vectors, name, dimensions)
    with np.errstate(over="ignore"):
        scaled: NDArray[np.floating[Any]] = np.ldexp(points, exponent)
    return np.clip(scaled, -_FARTHEST, _FARTHEST, out=scaled)


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
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.floating[Any]]]:
    """Return indices and distances (M, k) of the ``k`` nearest ``vectors``, nearest first.

    Distances above 2^40 are scaled down, see `brought_near`.

    Args:
        vectors: (N, D), more than ``k``.
        k: number of neighbours.
        queries: (M, D); None for the vectors themselves. A vector is then not its own neighbour.
        on_progress: called with the vectors that are done and their total, without queries.
    """
    index = NeighborIndex(vectors)
    found = index.neighbors(k, on_progress) if queries is None else index.query(queries, k)
    return found.indices, brought_near(found.distances, 40)


def brought_near(distances: NDArray[np.floating[Any]], exponent: int) -> NDArray[np.floating[Any]]:
    """Return distances (M, k), in which no row reaches far above 2 to the power of ``exponent``.

    All distances of a row are scaled together. A method that finds a bandwidth for each row uses
    only their ratios, and finds none for very large distances.
    """
    nearer = np.minimum(exponent - np.frexp(distances.max(axis=1))[1], 0)
    near: NDArray[np.floating[Any]] = np.ldexp(distances, nearer[:, None])
    return near
