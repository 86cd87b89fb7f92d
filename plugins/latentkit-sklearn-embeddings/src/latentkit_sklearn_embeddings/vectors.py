"""What every map checks of the vectors it is given, and what a user reads of a failed fit."""

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
    """Return vectors (N, D) as float64, in which eigenvectors are exact enough.

    Raises:
        UserError: they are not finite numbers (N, D).
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
    """Return vectors (N, D) to fit.

    Args:
        vectors: what the user gave.
        name: of the embedding.
        n_components: of the map.
        least: how many vectors the embedding needs.

    Raises:
        UserError: too few vectors or dimensions, all vectors equal, or not all finite.
    """
    points = finite(vectors, name)
    n, d = points.shape
    if n < least:
        raise UserError(
            f"embedding {name!r} needs {least} vectors or more and got {n}: map more, or choose "
            f"fewer neighbours where it has some"
        )
    if d < n_components:
        raise UserError(
            f"embedding {name!r}: vectors of {d} dimensions have no map of {n_components}: lower "
            f"{name}.n_components, or use more latents"
        )
    if (points == points[0]).all():
        raise UserError(f"embedding {name!r}: all {n:,} vectors are equal, there is nothing to map")
    return points


def like(vectors: Any, name: str, dimensions: int) -> Vectors:
    """Return new vectors (M, D) for a map of vectors of ``dimensions``; 0 where it is not fitted.

    Raises:
        UserError: they are not like those of the fit, or there was none.
    """
    if not dimensions:
        raise UserError(f"embedding {name!r}: fit it before new points are placed")
    points = finite(vectors, name)
    if points.shape[1] != dimensions:
        raise UserError(
            f"embedding {name!r}: the new vectors have {points.shape[1]} dimensions, those of the "
            f"fit had {dimensions}"
        )
    return points


@contextmanager
def fitting(name: str, advice: str) -> Iterator[list[str]]:
    """Catch what scikit-learn warns of in the block, and explain what it raises.

    Yields:
        The warnings, filled at the end.

    Raises:
        UserError: the eigenvectors or factors cannot be found.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        except (ValueError, np.linalg.LinAlgError, RuntimeError) as error:
            first = str(error).split(". ")[0]
            raise UserError(f"embedding {name!r} finds no map ({first}): {advice}") from error
        finally:
            said += [str(warning.message) for warning in caught]
