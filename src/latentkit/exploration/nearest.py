"""The nearest training images of items, and whether they are near enough to be copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError

_CHUNK_VALUES = 2**22  # values of the reference converted to float32 at a time


@dataclass(frozen=True)
class Nearest:
    """The nearest items of a reference set, nearest first.

    Args:
        rows: (M, k), rows of the reference set.
        distances: (M, k), Euclidean: latent units, or pixels in [0, 1].
        typical: median distance from a test item to its nearest reference item.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    typical: float

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Distance (M,) to the nearest item divided by the typical one; copies are far below 1."""
        tiny = float(np.finfo(np.float32).tiny)
        ratios: NDArray[np.float64] = self.distances[:, 0] / max(self.typical, tiny)
        return ratios


@dataclass(frozen=True)
class TrainingNeighbours:
    """Items beside their nearest training images.

    Args:
        images: (M, C, H, W), the items, in [0, 1].
        latents: (M, D), their latents.
        in_latents: the nearest training images by distance of latents.
        in_pixels: the nearest training images by distance of pixels.
        latent_images: (M, k, C, H, W), uint8, the images of ``in_latents``.
        pixel_images: (M, k, C, H, W), uint8, the images of ``in_pixels``.
    """

    images: NDArray[np.float32]
    latents: NDArray[np.float32]
    in_latents: Nearest
    in_pixels: Nearest
    latent_images: NDArray[np.uint8]
    pixel_images: NDArray[np.uint8]


def nearest(
    queries: NDArray[Any],
    reference: NDArray[Any],
    k: int,
    tests: NDArray[Any],
    rows: NDArray[np.int64] | None = None,
) -> Nearest:
    """Find the ``k`` nearest items of a reference set by exhaustive search, a chunk at a time.

    Args:
        queries: (M, ...), the items whose neighbours are wanted.
        reference: (N, ...), may be memory-mapped; uint8 values are pixels and are divided by 255.
        k: number of neighbours.
        tests: (T, ...), test items, whose distances show what is typical.
        rows: (R,), the rows of the reference to search; None for all. The result gives rows of
            the whole reference.

    Raises:
        UserError: ``k`` is below 1, or there are fewer than ``k`` rows to search.
    """
    looked = np.arange(len(reference)) if rows is None else rows
    if not 1 <= k <= len(looked):
        raise UserError(
            f"cannot find the {k} nearest of {len(looked):,} training images: ask for 1 to "
            f"{len(looked):,}"
        )
    asked = np.concatenate([_as_rows(queries), _as_rows(tests)])
    found, distances = _search(asked, reference, looked, k)
    count = len(queries)
    return Nearest(found[:count], distances[:count], float(np.median(distances[count:, 0])))


def _search(
    asked: NDArray[np.float32], reference: NDArray[Any], looked: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows and distances (M, k) of the nearest items, nearest first."""
    m, width = asked.shape
    step = max(k, _CHUNK_VALUES // width)
    # Rounding in float32 may swap near ties, so more candidates are kept and measured exactly.
    spare = k + 4
    best_rows = np.zeros((m, 0), np.int64)
    best = np.zeros((m, 0), np.float32)
    for start in range(0, len(looked), step):
        piece = looked[start : start + step]
        values = _as_rows(reference[piece])
        # Squared distances without the queries' own squares, which do not change the order.
        squares = np.einsum("ij,ij->i", values, values) - 2 * (asked @ values.T)
        candidates = np.concatenate([best, squares], axis=1)
        owners = np.concatenate([best_rows, np.broadcast_to(piece, squares.shape)], axis=1)
        # Partial sorting after each chunk bounds the memory.
        kept = min(spare, candidates.shape[1])
        columns = np.argpartition(candidates, kept - 1, axis=1)[:, :kept]
        best = np.take_along_axis(candidates, columns, axis=1)
        best_rows = np.take_along_axis(owners, columns, axis=1)
    distances = np.empty(best.shape)
    for query, own in enumerate(best_rows):
        away = _as_rows(reference[own]).astype(np.float64) - asked[query]
        distances[query] = np.linalg.norm(away, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(best_rows, order, 1), np.take_along_axis(distances, order, 1)


def _as_rows(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return items (N, ...) as float32 rows; uint8 values become pixels in [0, 1]."""
    rows = values.reshape(len(values), -1).astype(np.float32)
    return rows / np.float32(255) if values.dtype == np.uint8 else rows
