"""Classical scaling of landmarks, and placing of other points by their distances to landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

from latentkit.builtins.embeddings.isomap_graph import Floats, Indices
from latentkit.neighbors import compiled

Doubles = NDArray[np.float64]
_DENSE = 400  # up to this size of a matrix, the dense eigensolver is used
_NO_AXIS = 1e-10  # axes below this share of the largest eigenvalue are rounding errors
_CHUNK = 1_024
_PAIRS_FROM = 128
_PAIRS_TO = 2_048
_FEW = 300_000  # up to this many distances, numpy is faster than compiling a loop


@dataclass(frozen=True)
class Triangulation:
    """The affine function from a point's squared distances to the landmarks to its coordinates.

    Args:
        mean_squares: (landmarks,), mean squared distance of each landmark to all, which is
            subtracted from the squared distances.
        weights: (landmarks, n_components).
        offset: (n_components,), added at the end.
    """

    mean_squares: Doubles
    weights: Doubles
    offset: Doubles

    def place(self, distances: Floats) -> Doubles:
        """Return coordinates (n, n_components) from distances (landmarks, n)."""
        if distances.size <= _FEW:
            return self._placed(distances)
        return _place(distances, self.mean_squares, self.weights) + self.offset

    def place_through(self, distances: Floats, indices: Indices, steps: Floats) -> Doubles:
        """Return coordinates (m, n_components) of points that reach landmarks through neighbours.

        Args:
            distances: (landmarks, n), from the landmarks to all possible neighbours.
            indices: (m, k), the neighbours of each point.
            steps: (m, k), the distances to these neighbours.
        """
        if len(distances) * indices.size <= _FEW:
            return self._placed((distances[:, indices] + steps).min(axis=2))
        found = _place_through(distances, indices, steps, self.mean_squares, self.weights)
        return found + self.offset

    def _placed(self, distances: Floats) -> Doubles:
        """Sum landmark by landmark, as the compiled loop does, for the same bits in the result."""
        excess = np.square(distances, dtype=np.float64) - self.mean_squares[:, None]
        placed = np.zeros((distances.shape[1], self.weights.shape[1]))
        for squares, weights in zip(excess, self.weights, strict=True):
            placed += squares[:, None] * weights
        return placed + self.offset

    def along_principal_axes(self, coordinates: Doubles) -> Triangulation:
        """Return this function, centred and rotated to the principal axes of ``coordinates``.

        ``coordinates`` are those that it gives. Each axis points towards the farthest point along
        it, which makes the signs definite.
        """
        center = coordinates.mean(axis=0)
        with threadpool_limits(limits=1, user_api="blas"):
            turn = np.linalg.eigh(np.atleast_2d(np.cov((coordinates - center).T)))[1][:, ::-1]
            turned = (coordinates - center) @ turn
            farthest = turned[np.abs(turned).argmax(axis=0), np.arange(turned.shape[1])]
            turn = turn * np.where(farthest < 0, -1.0, 1.0)
            return Triangulation(
                self.mean_squares, self.weights @ turn, (self.offset - center) @ turn
            )


def scale_landmarks(
    distances: NDArray[Any], masses: NDArray[Any], n_components: int, seed: int
) -> Triangulation:
    """Return the triangulation that classical scaling of the landmarks gives.

    Each landmark is weighted by the number of points that it represents. The eigenproblem is then a
    quadrature of the one of all points, and approximates it much better than with equal weights.

    Args:
        distances: (landmarks, landmarks).
        masses: (landmarks,), above 0, the number of points that each landmark represents.
        n_components: number of axes; axes that the distances do not support are all 0.
        seed: seed of the eigensolver's initial vector.
    """
    squares = np.square(distances, dtype=np.float64)
    squares = (squares + squares.T) / 2  # float32 paths differ by direction in the last bits
    shares = masses / masses.sum()
    roots = np.sqrt(shares)
    # Several threads would add in another order, and so round differently.
    with threadpool_limits(limits=1, user_api="blas"):
        # Double centring turns squared distances into inner products. The roots of the weights on
        # both sides keep the matrix symmetric.
        mean = shares @ squares
        products = (mean + mean[:, None] - shares @ mean - squares) / 2
        products *= roots * roots[:, None]
        values, vectors = _leading(products, n_components, seed)
    supported = values > _NO_AXIS * max(values[0], np.finfo(float).tiny)
    scale = np.where(supported, 1 / np.sqrt(np.where(supported, values, 1)), 0)
    return Triangulation(mean, -roots[:, None] * vectors * scale / 2, np.zeros(n_components))


def landmark_masses(distances: Floats) -> NDArray[np.int64]:
    """Return the number of points nearest to each landmark, from distances (landmarks, n)."""
    count = len(distances)
    masses = np.zeros(count, np.int64)
    for start in range(0, distances.shape[1], _CHUNK):
        nearest = distances[:, start : start + _CHUNK].argmin(axis=0)
        masses += np.bincount(nearest, minlength=count)
    return masses


def residual_variance(
    distances: Floats,
    landmarks: NDArray[np.int64],
    masses: NDArray[Any],
    coordinates: Doubles,
) -> float:
    """Return 1 - R² between distances along the graph and in the map (Tenenbaum et al. 2000).

    At most 128 landmarks and 2,048 points are compared, which bounds time and memory.

    Args:
        distances: (landmarks, n), along the graph.
        landmarks: (landmarks,), the points that are landmarks.
        masses: (landmarks,), the number of points that each landmark represents.
        coordinates: (n, n_components).
    """
    some = np.linspace(0, len(landmarks) - 1, min(len(landmarks), _PAIRS_FROM)).astype(int)
    others = np.linspace(0, len(coordinates) - 1, min(len(coordinates), _PAIRS_TO)).astype(int)
    along = distances[some][:, others].astype(np.float64)
    apart = coordinates[landmarks[some], None] - coordinates[others]
    straight = np.sqrt(np.square(apart).sum(axis=2))
    shares = np.repeat(masses[some, None] / masses[some].sum(), len(others), axis=1)
    covariance = np.cov(along.ravel(), straight.ravel(), aweights=shares.ravel())
    spread = covariance[0, 0] * covariance[1, 1]
    return 1 - float(covariance[0, 1] ** 2 / spread) if spread > 0 else 1.0


def _leading(matrix: Doubles, count: int, seed: int) -> tuple[Doubles, Doubles]:
    """Return the largest eigenvalues, in descending order, and their eigenvectors as columns.

    If the matrix has fewer than ``count``, the others are 0.
    """
    n = len(matrix)
    missing = max(0, count - n)
    if n <= _DENSE:
        values, vectors = eigh(matrix, subset_by_index=[n - count + missing, n - 1])
    else:
        start = np.random.default_rng(seed).standard_normal(n)
        values, vectors = eigsh(matrix, count, which="LA", v0=start)
    order = np.argsort(values)[::-1]
    return np.pad(values[order], (0, missing)), np.pad(vectors[:, order], ((0, 0), (0, missing)))


@compiled(parallel=True)
def _place(distances: Floats, mean_squares: Doubles, weights: Doubles) -> Doubles:
    coordinates = np.empty((distances.shape[1], weights.shape[1]))
    for chunk in numba.prange((len(coordinates) + _CHUNK - 1) // _CHUNK):
        start, stop = chunk * _CHUNK, min(len(coordinates), (chunk + 1) * _CHUNK)
        _place_chunk(distances[:, start:stop], mean_squares, weights, coordinates[start:stop])
    return coordinates


@compiled()
def _place_chunk(
    distances: Floats, mean_squares: Doubles, weights: Doubles, coordinates: Doubles
) -> None:
    """Fill in ``coordinates`` landmark by landmark, the order of ``distances`` in memory."""
    _clear(coordinates)
    for landmark in range(len(distances)):
        for i in range(len(coordinates)):
            _pull(coordinates[i], distances[landmark, i], mean_squares[landmark], weights[landmark])


@compiled(parallel=True)
def _place_through(
    distances: Floats, indices: Indices, steps: Floats, mean_squares: Doubles, weights: Doubles
) -> Doubles:
    coordinates = np.empty((len(indices), weights.shape[1]))
    for chunk in numba.prange((len(coordinates) + _CHUNK - 1) // _CHUNK):
        some = slice(chunk * _CHUNK, min(len(coordinates), (chunk + 1) * _CHUNK))
        _place_chunk_through(
            distances, indices[some], steps[some], mean_squares, weights, coordinates[some]
        )
    return coordinates


@compiled()
def _place_chunk_through(
    distances: Floats,
    indices: Indices,
    steps: Floats,
    mean_squares: Doubles,
    weights: Doubles,
    coordinates: Doubles,
) -> None:
    _clear(coordinates)
    for landmark in range(len(distances)):
        for i in range(len(coordinates)):
            length = np.float32(np.inf)
            for j in range(indices.shape[1]):
                length = min(length, steps[i, j] + distances[landmark, indices[i, j]])
            _pull(coordinates[i], length, mean_squares[landmark], weights[landmark])


@compiled()
def _clear(coordinates: Doubles) -> None:
    for i in range(len(coordinates)):
        for axis in range(coordinates.shape[1]):
            coordinates[i, axis] = 0


@compiled()
def _pull(place: Doubles, length: np.float32, mean_square: np.float64, weights: Doubles) -> None:
    """Add the term of one landmark to a point's coordinates."""
    excess = np.float64(length) * np.float64(length) - mean_square
    for axis in range(len(place)):
        place[axis] += weights[axis] * excess
