"""Checks of the vectors that embeddings are given, and error messages of failed fits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError

Vectors = NDArray[np.float64]


def finite(vectors: Any, name: str) -> Vectors:
    """Return vectors (N, D) as float64, which is precise enough for eigenvectors.

    Raises:
        UserError: the vectors are not finite numbers (N, D).
    """
    given = np.asarray(vectors)
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        raise UserError(
            f"embedding {name!r}: vectors must be numbers (N, D), not {given.dtype} {given.shape}"
        )
    points = np.ascontiguousarray(given, np.float64)
    if not np.isfinite(points).all():
        raise UserError(f"embedding {name!r}: not all vectors are finite")
    return points


def mappable(vectors: Any, name: str, n_components: int, least: int) -> Vectors:
    """Check vectors (N, D) for a fit, and return them as float64.

    Args:
        vectors: the user's vectors.
        name: name of the embedding, for messages.
        n_components: number of dimensions of the map.
        least: number of vectors that the embedding needs at least.

    Raises:
        UserError: too few vectors or dimensions, all vectors equal, or not all finite.
    """
    points = finite(vectors, name)
    n, d = points.shape
    if n < least:
        raise UserError(
            f"embedding {name!r} needs {least} vectors or more, but got {n}: map more vectors, or "
            f"choose fewer neighbours if it has this option"
        )
    if d < n_components:
        raise UserError(
            f"embedding {name!r}: vectors of {d} dimensions cannot be mapped to {n_components}: "
            f"lower {name}.n_components, or use more latents"
        )
    if (points == points[0]).all():
        raise UserError(f"embedding {name!r}: all {n:,} vectors are equal, there is nothing to map")
    return points


def like(vectors: Any, name: str, dimensions: int) -> Vectors:
    """Check new vectors (M, D) for a fitted map, and return them as float64.

    Args:
        vectors: the user's vectors.
        name: name of the embedding, for messages.
        dimensions: number of dimensions of the fitted vectors, or 0 if the map is not fitted.

    Raises:
        UserError: the map is not fitted, or the vectors are not finite or differ in dimension from
            the fitted ones.
    """
    if not dimensions:
        raise UserError(f"embedding {name!r}: fit it before you place new points")
    points = finite(vectors, name)
    if points.shape[1] != dimensions:
        raise UserError(
            f"embedding {name!r}: the new vectors have {points.shape[1]} dimensions, but the "
            f"fitted ones had {dimensions}"
        )
    return points


@contextmanager
def fitting(name: str, advice: str) -> Iterator[list[str]]:
    """Collect scikit-learn's warnings in the block, and turn its errors into a UserError.

    Args:
        name: name of the embedding, for messages.
        advice: what the user can try if the fit fails.

    Yields:
        A list that has the warnings' messages after the block.

    Raises:
        UserError: the eigenvectors or factors cannot be found.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # of files that other code left open
        try:
            yield said
        except (ValueError, np.linalg.LinAlgError, RuntimeError) as error:
            first = str(error).split(". ")[0]
            raise UserError(f"embedding {name!r} failed ({first}): {advice}") from error
        finally:
            said += [str(warning.message) for warning in caught]
