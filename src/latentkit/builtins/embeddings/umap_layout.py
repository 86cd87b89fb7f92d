"""The layout of UMAP: forces gathered per point, in parallel, with the same bytes on any machine.

umap-learn draws edges one after the other and moves both of their ends, so its result depends on
the order, and threads may not share the work. Here, a step moves the points of one block after the
other, and each point of a block gets its own forces from the positions before that block: the
attraction of each drawn edge, twice because the edge moves either end, and the repulsion of random
points. Random numbers are a function of seed, step, point and draw. So threads share the points in
any way, and the map stays the same. Many small blocks, rather than all points at once, keep two
neighbours from moving past each other, which costs the map a lot of its quality. Powers are
computed from sums and products only, which all processors round alike.

The objective, the number of draws of an edge, the number of repelling points and the falling step
size are those of L. McInnes, J. Healy, J. Melville, arXiv:1802.03426 (2018), as in umap-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from latentkit.builtins.embeddings.umap_graph import Graph
from latentkit.neighbors import compiled

Floats = NDArray[np.float32]
_f = np.float32
_CURVE_POINTS = 300
_DIGITS = 5  # of a and b, so that they do not depend on the rounding of a fit
_LONGEST_MOVE = np.float32(4)  # of one force, before the step size
_CLOSE = np.float32(0.001)  # keeps repulsion finite
_TINY = np.float32(1e-30)  # keeps the power of a zero distance finite
_BLOCKS = 16
_CHUNK = 128  # points that a thread takes at once
_STEP = 0x9E3779B97F4A7C15
_POINT = 0xD1B54A32D192ED03
_DRAW = 0x9E3779B9


def kernel_parameters(min_dist: float, spread: float) -> tuple[float, float]:
    """Return a and b, with which 1 / (1 + a d^2b) fits the membership wanted at a distance d.

    It should be 1 up to ``min_dist``, and then fall as exp(-(d - min_dist) / spread).
    """
    x = np.linspace(0, 3 * spread, _CURVE_POINTS)
    y = np.where(x < min_dist, 1.0, np.exp(-(x - min_dist) / spread))
    (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, y)
    return round(float(a), _DIGITS), round(float(b), _DIGITS)


def optimise(
    start: Floats,
    graph: Graph,
    kernel: tuple[float, float],
    *,
    steps: int,
    seed: int,
    repulsions: int = 5,
    step_size: float = 1.0,
    on_step: Callable[[int], None] | None = None,
) -> Floats:
    """Return the positions (n, d) of points after all steps.

    Args:
        start: (n, 2) or (n, 3).
        graph: symmetric.
        kernel: a and b of `kernel_parameters`.
        steps: number of steps. An edge of the largest weight is drawn in each, another in a share
            of them that is its weight as a share of the largest.
        seed: of the random draws.
        repulsions: random points that repel a point for each of its drawn edges.
        step_size: of the first step; it falls to zero.
        on_step: called with the number of steps done.
    """
    now = np.zeros((3, len(start)), np.float32)  # a missing third dimension stays zero
    now[: start.shape[1]] = start.T
    after = np.empty_like(now)
    rates = graph.weights / graph.weights.max() if len(graph.weights) else graph.weights
    edges = graph.starts, graph.neighbors, rates
    most = int(np.diff(graph.starts).max(initial=0)) * repulsions
    for step in range(steps):
        numbers = _f(kernel[0]), _f(kernel[1]), _f(step_size * (1 - step / steps))
        for block in range(_BLOCKS):
            _move(edges, now, after, numbers, (step, seed, repulsions, most, block))
            now[:, block::_BLOCKS] = after[:, block::_BLOCKS]
        if on_step is not None:
            on_step(step + 1)
    return np.ascontiguousarray(now[: start.shape[1]].T)


@compiled(inline="always")
def _power(x: Any, b: Any) -> Any:
    """Return x^b of float32 numbers, x > 0, with a relative error of at most 3e-4."""
    bits = np.float32(x).view(np.int32)
    t = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32) - _f(1)
    square = t * t
    low, high = _f(1.4391157) + t * _f(-0.6798629), _f(0.3266555) + t * _f(-0.0860094)
    y = (_f((bits >> 23) - 127) + t * (low + square * high)) * b
    y = min(max(y, _f(-126)), _f(126))
    whole = np.floor(y)
    r = y - whole
    low, high = _f(0.9998942) + r * _f(0.69605655), _f(0.2249466) + r * _f(0.0791051)
    power = low + r * r * high
    return power * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


@compiled(inline="always")
def _mixed(z: Any) -> Any:
    """Return a random 64-bit number that is a function of another (G. Steele et al. 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled(inline="always")
def _mixed32(h: Any) -> Any:
    """Return a random 32-bit number that is a function of another (C. Wellons 2018)."""
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x7FEB352D))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    h = np.uint32(h * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@compiled(inline="always")
def _limited(move: Any) -> Any:
    return min(_LONGEST_MOVE, max(-_LONGEST_MOVE, move))


@compiled(parallel=True, error_model="numpy")
def _move(edges: Any, now: Any, after: Any, numbers: Any, counts: Any) -> None:
    """Write the new positions (3, n) of the points of a block to ``after``."""
    starts, neighbors, rates = edges
    a, b, rate = numbers
    step, seed, repulsions, most, block = counts
    pull = _f(2) * rate  # each end has the edge once, and the edge moves both
    everyone = np.uint64(now.shape[1])
    own = (now.shape[1] - block + _BLOCKS - 1) // _BLOCKS
    for chunk in numba.prange((own + _CHUNK - 1) // _CHUNK):
        moves = np.empty((3, most), np.float32)
        for place in range(chunk * _CHUNK, min(own, (chunk + 1) * _CHUNK)):
            i = block + place * _BLOCKS
            x, y, z = now[0, i], now[1, i], now[2, i]
            drawn = 0
            for e in range(starts[i], starts[i + 1]):
                if np.floor(_f(step + 1) * rates[e]) <= np.floor(_f(step) * rates[e]):
                    continue
                drawn += 1
                j = neighbors[e]
                dx, dy, dz = x - now[0, j], y - now[1, j], z - now[2, j]
                square = dx * dx + dy * dy + dz * dz + _TINY
                p = a * _power(square, b)
                force = _f(-2) * b * p / (square * (p + _f(1)))
                x += _limited(force * dx) * pull
                y += _limited(force * dy) * pull
                z += _limited(force * dz) * pull
            # Repulsions are computed from one position, so that the processor does many at once.
            stream = np.uint64(step) * np.uint64(_STEP) + np.uint64(i) * np.uint64(_POINT)
            first = np.uint32(_mixed(np.uint64(seed) + stream))
            for q in range(drawn * repulsions):
                random = _mixed32(np.uint32(first + np.uint32(q) * np.uint32(_DRAW)))
                k = np.int64((np.uint64(random) * everyone) >> np.uint64(32))
                dx, dy, dz = x - now[0, k], y - now[1, k], z - now[2, k]
                square = dx * dx + dy * dy + dz * dz + _TINY
                force = _f(2) * b / ((_CLOSE + square) * (a * _power(square, b) + _f(1)))
                moves[0, q] = _limited(force * dx)
                moves[1, q] = _limited(force * dy)
                moves[2, q] = _limited(force * dz)
            dx = dy = dz = _f(0)
            for q in range(drawn * repulsions):
                dx += moves[0, q]
                dy += moves[1, q]
                dz += moves[2, q]
            after[0, i], after[1, i], after[2, i] = x + dx * rate, y + dy * rate, z + dz * rate
