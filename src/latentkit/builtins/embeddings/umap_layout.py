"""The layout of UMAP: edges drawn in rounds, in parallel, with the same bytes on any machine.

umap-learn draws edges one after the other. Each moves both of its ends by the same amount, so that
it never shifts the pair; if each end were moved by itself, the map would fall into pieces. Here,
the edges are divided into rounds in which no two share a point. Then threads may draw the edges of
a round in any way, and the map stays the same. After the rounds of a step, each point is moved away
from random points. Random numbers are a function of seed, step, point and draw. Powers are computed
from sums and products only, which all processors round alike.

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
_REPULSIONS = 5  # random points that repel a point for each of its drawn edges
_TINY = np.float32(1e-30)  # keeps the power of a zero distance finite
_WORDS = 4  # of 64 rounds each, that a point may be in
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
        on_step: called with the number of steps done.
    """
    now = np.zeros((3, len(start)), np.float32)  # a missing third dimension stays zero
    now[: start.shape[1]] = start.T
    after = np.empty_like(now)
    rates = graph.weights / graph.weights.max() if len(graph.weights) else graph.weights
    edges, cuts = _rounds(graph, rates)
    most = int(np.diff(graph.starts).max(initial=0)) * _REPULSIONS
    for step in range(steps):
        numbers = _f(kernel[0]), _f(kernel[1]), _f(1 - step / steps)
        for one in np.random.default_rng([seed, step]).permutation(len(cuts) - 2):
            _attract(edges, cuts[one], cuts[one + 1], now, numbers, step)
        _attract_in_turn(edges, cuts[-2], cuts[-1], now, numbers, step)
        _repel(graph.starts, rates, now, after, numbers, (step, seed, most))
        now, after = after, now
        if on_step is not None:
            on_step(step + 1)
    return np.ascontiguousarray(now[: start.shape[1]].T)


def _rounds(graph: Graph, rates: Floats) -> tuple[Any, NDArray[np.int64]]:
    """Return both ends and the rate of each edge, round after round, and where rounds begin.

    In a round no two edges share a point, except in the last one, which has what is left.
    """
    sources = np.repeat(np.arange(len(graph.starts) - 1, dtype=np.int32), np.diff(graph.starts))
    once = sources < graph.neighbors
    ends = sources[once], graph.neighbors[once]
    places = np.empty(len(ends[0]), np.int16)  # NumPy sorts these by counting
    _colour(*ends, np.zeros((len(graph.starts) - 1, _WORDS), np.uint64), places)
    order = np.argsort(places, kind="stable")
    left = 64 * _WORDS
    used = int(places[places < left].max(initial=-1)) + 1
    cuts = np.searchsorted(places[order], [*range(used + 1), left + 1])
    return (ends[0][order], ends[1][order], rates[once][order]), cuts


@compiled()
def _colour(firsts: Any, seconds: Any, taken: Any, places: Any) -> None:
    """Write the first round of each edge in which neither end has an edge yet."""
    for e in range(len(firsts)):
        i, j = firsts[e], seconds[e]
        places[e] = 64 * _WORDS
        for word in range(_WORDS):
            free = ~(taken[i, word] | taken[j, word])
            if free != 0:
                bit = 0
                while not (free >> np.uint64(bit)) & np.uint64(1):
                    bit += 1
                taken[i, word] |= np.uint64(1) << np.uint64(bit)
                taken[j, word] |= np.uint64(1) << np.uint64(bit)
                places[e] = 64 * word + bit
                break


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


@compiled(inline="always")
def _is_drawn(rate: Any, step: Any) -> Any:
    return np.floor(_f(step + 1) * rate) > np.floor(_f(step) * rate)


@compiled(inline="always", error_model="numpy")
def _draw(edges: Any, e: Any, now: Any, numbers: Any, step: Any) -> None:
    """Move both ends of an edge towards each other, twice because the graph has it twice."""
    firsts, seconds, rates = edges
    a, b, rate = numbers
    if not _is_drawn(rates[e], step):
        return
    i, j = firsts[e], seconds[e]
    for _ in range(2):
        dx, dy, dz = now[0, i] - now[0, j], now[1, i] - now[1, j], now[2, i] - now[2, j]
        square = dx * dx + dy * dy + dz * dz + _TINY
        p = a * _power(square, b)
        force = _f(-2) * b * p / (square * (p + _f(1)))
        x, y, z = (
            _limited(force * dx) * rate,
            _limited(force * dy) * rate,
            _limited(force * dz) * rate,
        )
        now[0, i] += x
        now[1, i] += y
        now[2, i] += z
        now[0, j] -= x
        now[1, j] -= y
        now[2, j] -= z


@compiled(parallel=True, error_model="numpy")
def _attract(edges: Any, first: int, last: int, now: Any, numbers: Any, step: int) -> None:
    for e in numba.prange(first, last):
        _draw(edges, e, now, numbers, step)


@compiled(error_model="numpy")
def _attract_in_turn(edges: Any, first: int, last: int, now: Any, numbers: Any, step: int) -> None:
    for e in range(first, last):
        _draw(edges, e, now, numbers, step)


@compiled(parallel=True, error_model="numpy")
def _repel(starts: Any, rates: Any, now: Any, after: Any, numbers: Any, counts: Any) -> None:
    """Write positions (3, n), moved away from random points, to ``after``."""
    a, b, rate = numbers
    step, seed, most = counts
    n = now.shape[1]
    for chunk in numba.prange((n + _CHUNK - 1) // _CHUNK):
        moves = np.empty((3, most), np.float32)
        for i in range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)):
            count = 0
            for e in range(starts[i], starts[i + 1]):
                count += _REPULSIONS * _is_drawn(rates[e], step)
            x, y, z = now[0, i], now[1, i], now[2, i]
            stream = np.uint64(step) * np.uint64(_STEP) + np.uint64(i) * np.uint64(_POINT)
            first = np.uint32(_mixed(np.uint64(seed) + stream))
            # All are computed from one position, so that the processor does several at once.
            for q in range(count):
                random = _mixed32(np.uint32(first + np.uint32(q) * np.uint32(_DRAW)))
                k = np.int64((np.uint64(random) * np.uint64(n)) >> np.uint64(32))
                dx, dy, dz = x - now[0, k], y - now[1, k], z - now[2, k]
                square = dx * dx + dy * dy + dz * dz + _TINY
                force = _f(2) * b / ((_CLOSE + square) * (a * _power(square, b) + _f(1)))
                moves[0, q] = _limited(force * dx)
                moves[1, q] = _limited(force * dy)
                moves[2, q] = _limited(force * dz)
            dx = dy = dz = _f(0)
            for q in range(count):
                dx += moves[0, q]
                dy += moves[1, q]
                dz += moves[2, q]
            after[0, i], after[1, i], after[2, i] = x + dx * rate, y + dy * rate, z + dz * rate
