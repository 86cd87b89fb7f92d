"""The descent of t-SNE in two dimensions and its gradient, compiled and parallel.

The repulsion is computed by the particle-mesh method. Cubic B-splines spread the points over a
grid, an FFT convolves the grid with the kernel 1 / (1 + d^2), and the splines and their slopes give
the potential and the force at each point. This takes two Fourier transforms, while interpolating
each term of the force (G. Linderman et al., Nature Methods 16, 2019) takes eight. The splines are
those of U. Essmann et al., J. Chem. Phys. 103 (1995).

Few points lie so far apart that the mesh's error exceeds their interaction, and the map would
explode. Their repulsion is summed over all pairs, which also takes less time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from latentkit.neighbors import compiled

_SPACING = 0.5  # of the grid, in units of the map; the kernel falls to one half at distance 1
_LEAST_CELLS = 64  # along the longer side of a small map
_MARGIN = 3  # cells around the map, because a spline reaches beyond its own cell
_COARSENESS = 16  # grid sides are multiples of this
_EPSILON = np.finfo(np.float64).eps
_FEW = 256  # up to so many points, all pairs are summed
_MOMENTUM = 0.8
_GROWTH, _DECAY, _LEAST_GAIN = 0.2, 0.8, 0.01
_LONGEST_MOVE = 5.0


class MeshGradient:
    """KL divergence of a 2-D map from its affinities, and the gradient.

    Results are equal to the last bit for any number of threads.

    Args:
        affinities: (N, N), a symmetric sparse matrix in compressed rows, with the sum 1. Its values
            are read in float32.
        threads: threads of the Fourier transforms; the loops use numba's number of threads.
    """

    def __init__(self, affinities: Any, threads: int) -> None:
        values = affinities.data.astype(np.float32, copy=False)
        self._edges = affinities.indptr, affinities.indices, values
        self._threads = threads
        self._kernel_of: tuple[tuple[int, ...], float] | None = None
        self._kernel: Any = None

    def forces(
        self, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
        """Return the attraction and repulsion (N, 2) of points (N, 2), and the normaliser.

        The gradient is the attraction minus the repulsion divided by the normaliser.
        """
        repulsion, potential = self.repulsion(points)
        attraction = np.empty(points.shape, np.float32)
        x, y = np.ascontiguousarray(points.T, np.float32)
        _attract(*self._edges, x, y, attraction)
        return attraction, repulsion, float(potential.sum()) - len(points)

    def divergence(self, points: NDArray[np.float64]) -> float:
        """Return the Kullback-Leibler divergence of a map (N, 2), in nats."""
        _, potential = self.repulsion(points)
        sums = np.empty((len(points), 2))
        _divergence_terms(*self._edges, points, sums)
        terms, mass = sums.sum(0)
        normaliser = float(potential.sum()) - len(points)  # without each point's own 1
        return float(terms + mass * np.log(normaliser + _EPSILON))

    def repulsion(
        self, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return sum_j (y_i - y_j) / (1 + d_ij^2)^2 and sum_j 1 / (1 + d_ij^2) for points (N, 2).

        The second sum includes each point's own 1.
        """
        if len(points) <= _FEW:
            force, potential = np.empty_like(points), np.empty(len(points))
            _sum_pairs(points, force, potential)
            return force, potential
        low, extent = np.empty(2), np.empty(2)
        _measure(points, low, extent)
        # A small map gets a finer grid, so that it still spans enough cells.
        spacing = min(_SPACING, max(extent.max() / _LEAST_CELLS, _EPSILON))
        cells = (extent / spacing).astype(int) + 2 * _MARGIN
        # Round up to few different shapes, because a new kernel is computed for each.
        shape = (_coarse(cells[0]), _coarse(cells[1]))
        places = (points - low) / spacing + _MARGIN
        mesh = np.zeros(shape)
        _spread(places, mesh)
        field = self._convolve(mesh, spacing)
        force = np.empty_like(points)
        potential = np.empty(len(points))
        _gather(places, field, force, potential)
        # The gradient of 1 / (1 + d^2) is -2 d / (1 + d^2)^2; slopes are per cell.
        force *= -0.5 / spacing
        return force, potential

    def _convolve(self, mesh: NDArray[Any], spacing: float) -> NDArray[Any]:
        shape = mesh.shape
        # An FFT convolves periodically. On a grid twice as wide, no point acts across the edge.
        padded = [scipy.fft.next_fast_len(2 * n, real=True) for n in shape]
        if self._kernel_of != (shape, spacing):
            self._kernel_of, self._kernel = (shape, spacing), _kernel(padded, spacing)
        spectrum = scipy.fft.rfft2(mesh, padded, workers=self._threads)
        spectrum *= self._kernel
        field = scipy.fft.irfft2(spectrum, padded, workers=self._threads, overwrite_x=True)
        return np.ascontiguousarray(field[: shape[0], : shape[1]])


class Descent:
    """Gradient descent with momentum and a gain for each coordinate, as in openTSNE.

    Args:
        start: (N, 2), positions.
        gradient: of the map.
    """

    def __init__(self, start: NDArray[np.float64], gradient: MeshGradient) -> None:
        self.points = np.ascontiguousarray(start, np.float64)
        self._gradient = gradient
        self._moves = np.zeros_like(self.points)
        self._gains = np.ones_like(self.points)

    def run(self, steps: int, exaggeration: float, on_step: Callable[[], None]) -> None:
        """Move the points ``steps`` times, attracted ``exaggeration`` times as much as they should.

        The learning rate is N / exaggeration (A. Belkina et al., Nature Communications 10, 2019).
        """
        rate = len(self.points) / exaggeration
        for _ in range(steps):
            attraction, repulsion, normaliser = self._gradient.forces(self.points)
            shares = exaggeration, 1 / normaliser, rate
            _step(attraction, repulsion, shares, self._moves, self._gains, self.points)
            _centre(self.points)
            on_step()


def _coarse(cells: int) -> int:
    return _COARSENESS * -(-int(cells) // _COARSENESS)


def _kernel(padded: list[int], spacing: float) -> NDArray[Any]:
    """Return the kernel's Fourier transform, with the blur of spreading and gathering undone."""
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) * spacing for n in padded)
    kernel = 1 / (1 + rows[:, None] ** 2 + columns[None, :] ** 2)
    blur_rows, blur_columns = (
        (2 + np.cos(2 * np.pi * frequencies)) / 3
        for frequencies in (np.fft.fftfreq(padded[0]), np.fft.rfftfreq(padded[1]))
    )
    return scipy.fft.rfft2(kernel).real / (blur_rows[:, None] * blur_columns) ** 2  # type: ignore[no-any-return]


@compiled(inline="always")
def _weights(t: float) -> Any:
    """Return the four values of the cubic B-spline at position ``t`` in [0, 1) of its cell."""
    s = 1 - t
    return (
        s * s * s / 6,
        (4 - 6 * t * t + 3 * t * t * t) / 6,
        (4 - 6 * s * s + 3 * s * s * s) / 6,
        t * t * t / 6,
    )


@compiled(inline="always")
def _slopes(t: float) -> Any:
    s = 1 - t
    return -s * s / 2, (3 * t * t - 4 * t) / 2, (4 * s - 3 * s * s) / 2, t * t / 2


@compiled()
def _sum_pairs(points: NDArray[Any], force: NDArray[Any], potential: NDArray[Any]) -> None:
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        total = sum_x = sum_y = 0.0
        for j in range(len(points)):
            dx, dy = x - points[j, 0], y - points[j, 1]
            kernel = 1 / (1 + dx * dx + dy * dy)
            total += kernel
            sum_x += kernel * kernel * dx
            sum_y += kernel * kernel * dy
        potential[i] = total
        force[i, 0] = sum_x
        force[i, 1] = sum_y


@compiled()
def _centre(points: NDArray[Any]) -> None:
    for axis in range(2):
        total = 0.0
        for i in range(len(points)):
            total += points[i, axis]
        for i in range(len(points)):
            points[i, axis] -= total / len(points)


@compiled()
def _measure(points: NDArray[Any], low: NDArray[Any], extent: NDArray[Any]) -> None:
    for axis in range(2):
        least = most = points[0, axis]
        for i in range(len(points)):
            least, most = min(least, points[i, axis]), max(most, points[i, axis])
        low[axis], extent[axis] = least, most - least


@compiled()
def _spread(places: NDArray[Any], mesh: NDArray[Any]) -> None:
    # One thread, because points share cells: with more, rounding would depend on their order.
    for i in range(len(places)):
        x, y = int(places[i, 0]), int(places[i, 1])
        across, along = _weights(places[i, 0] - x), _weights(places[i, 1] - y)
        for a in range(4):
            for b in range(4):
                mesh[x - 1 + a, y - 1 + b] += across[a] * along[b]


@compiled(parallel=True)
def _gather(
    places: NDArray[Any], field: NDArray[Any], force: NDArray[Any], potential: NDArray[Any]
) -> None:
    for i in numba.prange(len(places)):
        x, y = int(places[i, 0]), int(places[i, 1])
        t, u = places[i, 0] - x, places[i, 1] - y
        across, along = _weights(t), _weights(u)
        across_slope, along_slope = _slopes(t), _slopes(u)
        total = slope_x = slope_y = 0.0
        for a in range(4):
            line = line_slope = 0.0
            for b in range(4):
                value = field[x - 1 + a, y - 1 + b]
                line += along[b] * value
                line_slope += along_slope[b] * value
            total += across[a] * line
            slope_x += across_slope[a] * line
            slope_y += across[a] * line_slope
        potential[i] = total
        force[i, 0] = slope_x
        force[i, 1] = slope_y


@compiled(parallel=True, fastmath=True)
def _attract(
    starts: NDArray[Any],
    neighbors: NDArray[Any],
    affinities: NDArray[Any],
    xs: NDArray[Any],
    ys: NDArray[Any],
    attraction: NDArray[Any],
) -> None:
    for i in numba.prange(len(xs)):
        x, y = xs[i], ys[i]
        sum_x = sum_y = np.float32(0)
        for e in range(starts[i], starts[i + 1]):
            j = neighbors[e]
            dx, dy = x - xs[j], y - ys[j]
            pull = affinities[e] / (np.float32(1) + dx * dx + dy * dy)
            sum_x += pull * dx
            sum_y += pull * dy
        attraction[i, 0] = sum_x
        attraction[i, 1] = sum_y


@compiled(parallel=True)
def _step(
    attraction: NDArray[Any],
    repulsion: NDArray[Any],
    shares: tuple[float, float, float],
    moves: NDArray[Any],
    gains: NDArray[Any],
    points: NDArray[Any],
) -> None:
    exaggeration, repelled, rate = shares
    for i in numba.prange(len(points)):
        for axis in range(2):
            slope = exaggeration * attraction[i, axis] - repelled * repulsion[i, axis]
            if np.sign(moves[i, axis]) != np.sign(slope):
                gains[i, axis] += _GROWTH
            else:
                gains[i, axis] = gains[i, axis] * _DECAY + _LEAST_GAIN
            moves[i, axis] = _MOMENTUM * moves[i, axis] - rate * gains[i, axis] * slope
        length = np.sqrt(moves[i, 0] ** 2 + moves[i, 1] ** 2)
        share = _LONGEST_MOVE / length if length > _LONGEST_MOVE else 1.0
        for axis in range(2):
            moves[i, axis] *= share
            points[i, axis] += moves[i, axis]


@compiled(parallel=True)
def _divergence_terms(
    starts: NDArray[Any],
    neighbors: NDArray[Any],
    affinities: NDArray[Any],
    points: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    for i in numba.prange(len(points)):
        terms = mass = 0.0
        for e in range(starts[i], starts[i + 1]):
            j = neighbors[e]
            p = np.float64(affinities[e])
            dx, dy = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
            if p > 0:
                terms += p * np.log(p * (1 + dx * dx + dy * dy))
            mass += p
        sums[i, 0] = terms
        sums[i, 1] = mass
