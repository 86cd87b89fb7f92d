"""The gradient of t-SNE in two dimensions, compiled and parallel.

The repulsion is computed by the particle-mesh method. Cubic B-splines spread the points over a
grid, an FFT convolves the grid with the kernel 1 / (1 + d^2), and the splines and their slopes give
the potential and the force at each point. This takes two Fourier transforms, while interpolating
each term of the force (G. Linderman et al., Nature Methods 16, 2019) takes eight. The splines are
those of U. Essmann et al., J. Chem. Phys. 103 (1995).

Few points lie so far apart that the mesh's error exceeds their interaction, and the map would
explode. Their repulsion is summed over all pairs, which also takes less time.
"""

from __future__ import annotations

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


class MeshGradient:
    """KL divergence and gradient of a 2-D map, in the form of openTSNE's objective function.

    Results are equal to the last bit for any number of threads.

    Args:
        threads: threads of the Fourier transforms; the loops use numba's number of threads.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._kernel_of: tuple[tuple[int, ...], float] | None = None
        self._kernel: Any = None

    def __call__(
        self,
        embedding: NDArray[np.float64],
        P: Any,  # noqa: N803
        **arguments: Any,
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the divergence (0 unless ``should_eval_error``) and the gradient (N, 2)."""
        points = np.ascontiguousarray(embedding, np.float64).view(np.ndarray)
        force, potential = self.repulsion(points)
        normaliser = potential.sum() - len(points)  # without each point's own 1
        gradient = np.empty_like(points)
        _attract(P.indptr, P.indices, P.data, points, gradient)
        gradient -= force / normaliser
        divergence = 0.0
        if arguments.get("should_eval_error"):
            divergence = _divergence(P, points, normaliser)
        return divergence, gradient

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
        low = points.min(0)
        extent = points.max(0) - low
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


def _divergence(P: Any, points: NDArray[np.float64], normaliser: float) -> float:  # noqa: N803
    sums = np.empty((len(points), 2))
    _divergence_terms(P.indptr, P.indices, P.data, points, sums)
    terms, mass = sums.sum(0)
    return float(terms + mass * np.log(normaliser + _EPSILON))


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
    points: NDArray[Any],
    gradient: NDArray[Any],
) -> None:
    for i in numba.prange(len(points)):
        x, y = points[i, 0], points[i, 1]
        sum_x = sum_y = 0.0
        for e in range(starts[i], starts[i + 1]):
            j = neighbors[e]
            dx, dy = x - points[j, 0], y - points[j, 1]
            pull = affinities[e] / (1 + dx * dx + dy * dy)
            sum_x += pull * dx
            sum_y += pull * dy
        gradient[i, 0] = sum_x
        gradient[i, 1] = sum_y


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
            p = affinities[e]
            dx, dy = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
            if p > 0:
                terms += p * np.log(p * (1 + dx * dx + dy * dy))
            mass += p
        sums[i, 0] = terms
        sums[i, 1] = mass
