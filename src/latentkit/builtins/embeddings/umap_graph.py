"""The weighted neighbour graph of UMAP, and a start from its leading eigenvectors.

Weights follow L. McInnes, J. Healy, J. Melville, arXiv:1802.03426 (2018): each point's distances
become memberships, which fall from 1 at its nearest neighbour, and their sum is the logarithm of
the number of neighbours. An edge has the probability that one of its two directions exists.

Everything here is computed in an order that does not depend on the number of threads, by arithmetic
that does not depend on the processor: the exponential is our own, and no sums are left to BLAS.
So the same vectors give the same bytes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from latentkit.neighbors import compiled

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int32]
_f = np.float32
_LEAST_BANDWIDTH = 1e-3  # as a share of a point's mean distance
_BISECTIONS = 64
_EXTRA = 5  # more columns than eigenvectors make the iteration converge faster
_ROUNDS = 8
_DEGREE = 15
_SWEEPS = 30
_ACROSS_CLASSES = math.exp(-5)
_TO_UNKNOWN = math.exp(-1)


class Graph(NamedTuple):
    """A symmetric weighted graph of n points, row by row.

    Args:
        starts: (n + 1,), where each point's edges begin.
        neighbors: (edges,), the other point of each edge, in rising order within a point.
        weights: (edges,), in (0, 1].
    """

    starts: NDArray[np.int64]
    neighbors: Integers
    weights: Floats

    def without(self, below: float) -> Graph:
        """Return the graph without edges of a weight below ``below``."""
        keep = self.weights >= below
        kept = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])
        return Graph(kept[self.starts], self.neighbors[keep], self.weights[keep])


def fuzzy_graph(neighbors: Integers, distances: Doubles) -> Graph:
    """Return the graph in which an edge has the weight p + q - pq of its two directions.

    Args:
        neighbors: (n, k), the nearest other points of each, nearest first.
        distances: (n, k), to them.
    """
    n, k = neighbors.shape
    starts = np.arange(0, n * k + 1, k)
    weights = memberships(distances)
    return _either_way(csr_matrix((weights.ravel(), neighbors.ravel(), starts), (n, n)))


def _either_way(forth: Any) -> Graph:
    """Return the graph of a matrix (n, n) of edges, with the probability of either direction."""
    back = forth.T.tocsr()
    both = forth.multiply(back)
    either = forth + back
    del forth, back
    either -= both
    either.sort_indices()
    return Graph(either.indptr.astype(np.int64), either.indices.astype(np.int32), either.data)


def memberships(distances: Doubles) -> Floats:
    """Return the membership (n, k) of each point's neighbours, from distances (n, k)."""
    weights = np.empty(distances.shape, np.float32)
    overall = float(math.fsum(distances.mean(1).tolist()) / len(distances))
    _smooth(distances, overall, math.log2(distances.shape[1] + 1), weights)
    return weights


def with_labels(graph: Graph, labels: NDArray[np.int64]) -> Graph:
    """Return the graph with weaker edges between classes, and as strong edges elsewhere as before.

    As umap-learn does for categories with its default weight of the target: an edge between classes
    keeps exp(-5) of its weight, and one to a point without a label exp(-1). Then each point's
    strongest edge gets the weight 1 again.

    Args:
        graph: symmetric.
        labels: (n,), -1 where one is missing.
    """
    sizes = np.diff(graph.starts)
    source = np.repeat(np.arange(len(sizes)), sizes)
    one, other = labels[source], labels[graph.neighbors]
    kept = np.where(one == other, _f(1), _f(_ACROSS_CLASSES))
    kept[(one < 0) | (other < 0)] = _f(_TO_UNKNOWN)
    weights = graph.weights * kept
    strongest = np.zeros(len(sizes), np.float32)
    np.maximum.at(strongest, source, weights)
    return _either_way(csr_matrix((weights / strongest[source], graph.neighbors, graph.starts)))


def spectral_start(graph: Graph, dimensions: int, seed: int) -> Doubles:
    """Return the leading eigenvectors (n, dimensions) of the graph's normalised Laplacian.

    They are found by Chebyshev-filtered subspace iteration (Y. Zhou, Y. Saad et al. 2006), which
    has no case in which it fails. A layout needs few digits of them.

    Args:
        graph: connected; a point without edges is an error.
        dimensions: number of eigenvectors, without the constant one.
        seed: of the random start.
    """
    n = len(graph.starts) - 1
    roots = np.empty(n)
    scaled = np.empty(len(graph.weights))
    _scale(graph.starts, graph.neighbors, graph.weights, roots, scaled)
    columns = min(n, dimensions + 1 + _EXTRA)
    vectors = np.random.default_rng(seed).random((n, columns)) - 0.5
    vectors[:, 0] = roots
    matrix = graph.starts, graph.neighbors, scaled
    values = np.full(columns, 0.8)
    for turn in range(_ROUNDS + 1):
        _orthonormalise(vectors)
        product = np.zeros_like(vectors)
        _advance(matrix, vectors, product, 0.0, 2.0)
        if turn:
            values, rotation = _jacobi(_gram(vectors, product))
            vectors, product = _rotated(vectors, rotation), _rotated(product, rotation)
        if turn < _ROUNDS:
            cut = max(0.5, min(0.999, float(values[-1])))
            vectors = _filtered(matrix, vectors, product, cut)
    return vectors[:, 1 : dimensions + 1] / roots[:, None]


def _filtered(matrix: Any, vectors: Doubles, product: Doubles, cut: float) -> Doubles:
    """Return vectors with their parts for eigenvalues between -1 and ``cut`` damped."""
    middle, half = (cut - 1) / 2, (cut + 1) / 2
    before, now = vectors, product
    now -= middle * vectors
    now /= half
    for _ in range(_DEGREE):
        _advance(matrix, now, before, middle, half)
        before, now = now, before
    return now


@compiled(inline="always")
def _exp(x: float) -> float:
    """Return e^x for x <= 0, from sums and products only, which all processors round alike."""
    if x < -700.0:
        return 0.0
    whole = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - whole * 0.693145751953125) - whole * 1.42860682030941723212e-6
    term = 1.0
    total = 1.0
    for i in range(1, 14):
        term *= r / i
        total += term
    return math.ldexp(total, int(whole))


@compiled(parallel=True)
def _smooth(distances: Doubles, overall: float, target: float, weights: Floats) -> None:
    n, k = distances.shape
    for i in numba.prange(n):
        nearest = mean = 0.0
        for j in range(k):
            mean += distances[i, j]
            if nearest == 0.0 and distances[i, j] > 0.0:
                nearest = distances[i, j]
        mean = mean / k if nearest > 0.0 else overall
        low, high, width = 0.0, np.inf, mean if mean > 0.0 else 1.0
        for _ in range(_BISECTIONS):
            total = 0.0
            for j in range(k):
                beyond = distances[i, j] - nearest
                total += _exp(-beyond / width) if beyond > 0.0 else 1.0
            if abs(total - target) < 1e-5:
                break
            if total > target:
                high = width
                width = (low + high) / 2
            else:
                low = width
                width = width * 2 if high == np.inf else (low + high) / 2
        width = max(width, _LEAST_BANDWIDTH * mean)
        for j in range(k):
            beyond = distances[i, j] - nearest
            weights[i, j] = _exp(-beyond / width) if beyond > 0.0 and width > 0.0 else 1.0


@compiled()
def _scale(starts: Any, neighbors: Any, weights: Any, roots: Doubles, scaled: Doubles) -> None:
    """Write the square root of each point's degree, and weights divided by those of both ends."""
    for i in range(len(roots)):
        degree = 0.0
        for e in range(starts[i], starts[i + 1]):
            degree += weights[e]
        roots[i] = math.sqrt(degree)
    for i in range(len(roots)):
        for e in range(starts[i], starts[i + 1]):
            scaled[e] = weights[e] / (roots[i] * roots[neighbors[e]])


@compiled(parallel=True)
def _advance(matrix: Any, now: Doubles, before: Doubles, middle: float, half: float) -> None:
    """Replace ``before`` with the next term, 2 / half (matrix - middle) now - before."""
    starts, neighbors, scaled = matrix
    n, columns = now.shape
    for i in numba.prange(n):
        sums = np.zeros(columns)
        for e in range(starts[i], starts[i + 1]):
            j = neighbors[e]
            for c in range(columns):
                sums[c] += scaled[e] * now[j, c]
        for c in range(columns):
            before[i, c] = 2.0 * (sums[c] - middle * now[i, c]) / half - before[i, c]


@compiled()
def _gram(left: Any, right: Any) -> Any:
    """Return left^T right."""
    n, columns = left.shape
    total = np.zeros((columns, columns))
    for i in range(n):
        for a in range(columns):
            for b in range(columns):
                total[a, b] += left[i, a] * right[i, b]
    return total


@compiled()
def _rotated(vectors: Any, rotation: Any) -> Any:
    n, columns = vectors.shape
    result = np.zeros((n, columns))
    for i in range(n):
        for a in range(columns):
            for b in range(columns):
                result[i, b] += vectors[i, a] * rotation[a, b]
    return result


def _orthonormalise(vectors: Doubles) -> None:
    """Make columns orthonormal in place, by Gram-Schmidt done twice; dependent ones become zero."""
    for _ in range(2):
        products = _gram(vectors, vectors)
        factor = _inverse_root(products)
        vectors[:] = _rotated(vectors, factor)


def _inverse_root(products: Any) -> Any:
    """Return an upper triangular R^-1 with R^T R = products; rows of dependent columns are zero."""
    n = len(products)
    upper = np.zeros((n, n))
    for i in range(n):
        for j in range(i, n):
            value = products[i, j]
            for k in range(i):
                value -= upper[k, i] * upper[k, j]
            if j == i:
                upper[i, i] = math.sqrt(value) if value > 1e-14 * products[i, i] else 0.0
            else:
                upper[i, j] = value / upper[i, i] if upper[i, i] > 0.0 else 0.0
    inverse = np.zeros((n, n))
    for j in range(n):
        if upper[j, j] == 0.0:
            continue
        inverse[j, j] = 1.0 / upper[j, j]
        for i in range(j - 1, -1, -1):
            if upper[i, i] == 0.0:
                continue
            value = 0.0
            for k in range(i + 1, j + 1):
                value += upper[i, k] * inverse[k, j]
            inverse[i, j] = -value / upper[i, i]
    return inverse


def _jacobi(matrix: Any) -> Any:
    """Return eigenvalues in falling order and eigenvectors, by Jacobi's cyclic rotations."""
    n = len(matrix)
    work = (matrix + matrix.T) / 2
    vectors = np.eye(n)
    for _ in range(_SWEEPS):
        for p in range(n - 1):
            for q in range(p + 1, n):
                if work[p, q] == 0.0:
                    continue
                # As Python's floats, numbers too large become infinity without a warning.
                theta = (work[q, q] - work[p, p]).item() / (2.0 * work[p, q].item())
                t = 1.0 / (abs(theta) + math.sqrt(theta * theta + 1.0))
                if theta < 0.0:
                    t = -t
                c = 1.0 / math.sqrt(t * t + 1.0)
                s = t * c
                for turned in (work, work.T, vectors):
                    a, b = turned[:, p].copy(), turned[:, q].copy()
                    turned[:, p], turned[:, q] = c * a - s * b, s * a + c * b
    values = np.diagonal(work)
    order = np.argsort(-values)
    return values[order], vectors[:, order]
