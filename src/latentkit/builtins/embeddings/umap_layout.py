"""The layout of UMAP: forces gathered per point, in parallel, with the same bytes on any machine.

umap-learn draws edges one after the other and moves both of their ends, so its result depends on
the order, and threads may not share the work. Here, each step reads the positions of the last one
and gives every point its own forces: the attraction of each drawn edge, once for either end that
the edge moves, and the repulsion of random points. Random numbers are a function of seed, step,
edge and draw. So threads share the points in any way, and the map stays the same. Powers are
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
_STEP = 0x9E3779B97F4A7C15
_EDGE = 0xD1B54A32D192ED03


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
    fixed: Floats | None = None,
    streams: NDArray[np.int64] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Floats:
    """Return the positions (n, d) of points after all steps.

    Args:
        start: (n, 2) or (n, 3).
        graph: edges from each point to the other points, or to those of ``fixed``.
        kernel: a and b of `kernel_parameters`.
        steps: number of steps. An edge of the largest weight is drawn in each, another in a share
            of them that is its weight as a share of the largest.
        seed: of the random draws.
        repulsions: random points that repel a point for each of its drawn edges.
        step_size: of the first step; it falls to zero.
        fixed: (m, d), points that attract and repel, but do not move. Without them, the points of
            ``start`` attract and repel each other.
        streams: (n,), names the random numbers of each point; by default its row.
        on_step: called with the number of steps done.
    """
    now = np.ascontiguousarray(start, np.float32)
    others = None if fixed is None else np.ascontiguousarray(fixed, np.float32)
    rates = graph.weights / graph.weights.max() if len(graph.weights) else graph.weights
    after = np.empty_like(now)
    names = np.arange(len(now)) if streams is None else streams
    # An edge moves both ends. Each end has the edge once, so it gets the force twice.
    pulls = 2 if others is None else 1
    for step in range(steps):
        rate = _f(step_size * (1 - step / steps))
        around = now if others is None else others
        _move(
            (graph.starts, graph.neighbors, rates, names),
            now,
            around,
            after,
            (_f(kernel[0]), _f(kernel[1]), rate),
            (step, seed, repulsions, pulls),
        )
        now, after = after, now
        if on_step is not None:
            on_step(step + 1)
    return now


@compiled(inline="always")
def _power(x: Any, b: Any) -> Any:
    """Return x^b of float32 numbers, x > 0, to about 1e-6."""
    bits = np.float32(x).view(np.int32)
    mantissa = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32)
    t = (mantissa - _f(1)) / (mantissa + _f(1))
    u = t * t
    log = t * (_f(2.8853901) + u * (_f(0.9617967) + u * (_f(0.5770780) + u * _f(0.4121986))))
    y = (_f((bits >> 23) - 127) + log) * b
    y = min(max(y, _f(-126)), _f(126))
    whole = np.floor(y)
    r = y - whole
    power = _f(0.0018943794) * r + _f(0.008958888)
    power = power * r + _f(0.055870902)
    power = power * r + _f(0.24015312)
    power = power * r + _f(0.69315369)
    power = power * r + _f(0.99999994)
    return power * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


@compiled(inline="always")
def _mixed(z: Any) -> Any:
    """Return a random 64-bit number that is a function of another (G. Steele et al. 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled(inline="always")
def _limited(move: Any) -> Any:
    return min(_LONGEST_MOVE, max(-_LONGEST_MOVE, move))


@compiled(parallel=True)
def _move(edges: Any, now: Any, around: Any, after: Any, numbers: Any, counts: Any) -> None:
    starts, neighbors, rates, names = edges
    a, b, rate = numbers
    step, seed, repulsions, pulls = counts
    dimensions = now.shape[1]
    everyone = np.uint64(len(around))
    alone = len(around) == len(now)
    for i in numba.prange(len(now)):
        x, y = now[i, 0], now[i, 1]
        z = now[i, 2] if dimensions == 3 else _f(0)
        for e in range(starts[i], starts[i + 1]):
            if np.floor(_f(step + 1) * rates[e]) <= np.floor(_f(step) * rates[e]):
                continue
            j = neighbors[e]
            for _ in range(pulls):
                dx, dy = x - around[j, 0], y - around[j, 1]
                dz = z - around[j, 2] if dimensions == 3 else _f(0)
                square = dx * dx + dy * dy + dz * dz
                if square > _f(0):
                    p = a * _power(square, b)
                    force = _f(-2) * b * p / (square * (p + _f(1)))
                    x += _limited(force * dx) * rate
                    y += _limited(force * dy) * rate
                    z += _limited(force * dz) * rate
            # All repulsions are computed from one position, so that none waits for another.
            mx = my = mz = _f(0)
            state = _mixed(
                np.uint64(seed)
                + np.uint64(step) * np.uint64(_STEP)
                + np.uint64(names[i]) * np.uint64(_EDGE)
                + np.uint64(e - starts[i])
            )
            for _ in range(repulsions):
                state += np.uint64(_STEP)
                k = np.int64(((_mixed(state) >> np.uint64(32)) * everyone) >> np.uint64(32))
                dx, dy = x - around[k, 0], y - around[k, 1]
                dz = z - around[k, 2] if dimensions == 3 else _f(0)
                square = dx * dx + dy * dy + dz * dz
                if square > _f(0) and not (alone and k == i):
                    force = _f(2) * b / ((_CLOSE + square) * (a * _power(square, b) + _f(1)))
                    mx += _limited(force * dx)
                    my += _limited(force * dy)
                    mz += _limited(force * dz)
            x += mx * rate
            y += my * rate
            z += mz * rate
        after[i, 0], after[i, 1] = x, y
        if dimensions == 3:
            after[i, 2] = z
