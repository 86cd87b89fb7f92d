"""Traversals of one latent dimension, decoded planes, and paths between two latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.explore.scale import Decode, Floats, LatentScale, decode_grid

if TYPE_CHECKING:
    from latentkit.neighbors import Neighbors


@dataclass(frozen=True)
class Traversals:
    """A row of images for each traversed dimension.

    Args:
        latents: (M, S, D).
        images: (M, S, C, H, W), decoded, in [0, 1].
        dimensions: (M,), which dimension changes in each row.
        sigmas: (S,), its values, in standard deviations of the training latents from their mean.
        start: (D,), the latent whose dimensions are changed, in sigmas.
        weights: (M,), how much information each dimension carries.
        weight_name: name of the weight, with its unit.
    """

    latents: Floats
    images: Floats
    dimensions: NDArray[np.intp]
    sigmas: NDArray[np.float64]
    start: NDArray[np.float64]
    weights: NDArray[np.float64]
    weight_name: str


def traverse(
    decode: Decode,
    start: Floats,
    scale: LatentScale,
    *,
    steps: int = 9,
    reach: float = 3.0,
    dimensions: Sequence[int] | None = None,
) -> Traversals:
    """Vary one dimension at a time between -reach and reach sigmas from the mean.

    Args:
        decode: function from latents to images.
        start: (D,), the latent that gives the other dimensions.
        scale: spread of the training latents.
        steps: number of values for each dimension.
        reach: largest distance from the mean, in sigmas.
        dimensions: which to vary; None for all, sorted by their weight.

    Raises:
        UserError: a dimension does not exist, there are fewer than two steps, or ``reach`` is not
            positive and finite.
    """
    if steps < 2 or not 0 < reach < np.inf:
        raise UserError(
            f"a traversal needs 2 or more steps and a reach above 0, not {steps} and {reach:g}"
        )
    count = len(scale.mean)
    chosen = scale.order if dimensions is None else np.array(list(dimensions), np.intp)
    for dimension in chosen:
        check_dimension(int(dimension), count)
    sigmas = np.linspace(-reach, reach, steps)
    latents = np.tile(np.asarray(start, np.float32), (len(chosen), steps, 1))
    for row, dimension in enumerate(chosen):
        latents[row, :, dimension] = scale.mean[dimension] + sigmas * scale.sigma[dimension]
    return Traversals(
        latents=latents,
        images=decode_grid(decode, latents),
        dimensions=chosen,
        sigmas=sigmas,
        start=scale.in_sigmas(start),
        weights=scale.weight[chosen],
        weight_name=scale.weight_name,
    )


def check_dimension(dimension: int, count: int) -> None:
    """Refuse a dimension that does not exist.

    Raises:
        UserError: names the dimensions that exist.
    """
    if not 0 <= dimension < count:
        raise UserError(f"there is no latent dimension {dimension}: choose from 0 to {count - 1}")


@dataclass(frozen=True)
class Plane:
    """A plane in the latent space.

    Args:
        origin: (D,), where both coordinates are 0.
        axes: (2, D), orthonormal.
        names: names of the two axes.
    """

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    names: tuple[str, str]

    def coordinates(self, latents: Floats) -> NDArray[np.float64]:
        """Project latents (N, D) onto the plane; return (N, 2), in latent units."""
        return (np.asarray(latents, np.float64) - self.origin) @ self.axes.T

    def latents(self, coordinates: NDArray[np.float64]) -> Floats:
        """Return the latents (..., D) of points (..., 2) on the plane."""
        return (coordinates @ self.axes + self.origin).astype(np.float32)


@dataclass(frozen=True)
class ManifoldGrid:
    """A plane, decoded on a grid of points.

    Args:
        latents: (R, K, D), the points of the grid.
        images: (R, K, C, H, W), decoded, in [0, 1].
        x: (K,), positions of the columns on the first axis, ascending, in latent units.
        y: (R,), positions of the rows on the second axis, ascending, in latent units.
        points: (N, 2), projections of the given latents onto the plane.
        names: names of the two axes.
    """

    latents: Floats
    images: Floats
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    points: NDArray[np.float64]
    names: tuple[str, str]


def dimension_plane(latents: Floats, first: int, second: int) -> Plane:
    """Return the plane through the mean of latents (N, D) that two of their dimensions span.

    Raises:
        UserError: a dimension does not exist, or both are the same.
    """
    count = latents.shape[1]
    check_dimension(first, count)
    check_dimension(second, count)
    if first == second:
        raise UserError(f"a plane needs two different dimensions, not {first} twice")
    origin = latents.mean(axis=0, dtype=np.float64)
    origin[[first, second]] = 0
    return Plane(origin, np.eye(count)[[first, second]], (f"latent {first}", f"latent {second}"))


def principal_plane(latents: Floats) -> Plane:
    """Return the plane of the two leading principal directions of latents (N, D), D at least 2.

    The sign of each direction makes its largest entry positive.
    """
    values = np.asarray(latents, np.float64)
    origin = values.mean(axis=0)
    centred = values - origin
    spread, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    axes = directions[:, [-1, -2]].T
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[[0, 1], largest])[:, None]
    shares = spread[[-1, -2]] / max(spread.sum(), np.finfo(float).tiny)
    first, second = (
        f"principal direction {number} ({share:.0%} of the variance)"
        for number, share in enumerate(shares, 1)
    )
    return Plane(origin, axes, (first, second))


def plane_through(latents: Floats, dimensions: tuple[int, int] | None = None) -> Plane:
    """Return the plane that two dimensions span; with None, the one that shows most latents.

    With two latent dimensions this is the whole space, otherwise the plane of the two leading
    principal directions.

    Raises:
        UserError: there is only one latent dimension, or a dimension does not exist.
    """
    if latents.shape[1] < 2:
        raise UserError("a grid needs two latent dimensions, but there is one: use a traversal")
    if dimensions is not None:
        return dimension_plane(latents, *dimensions)
    return dimension_plane(latents, 0, 1) if latents.shape[1] == 2 else principal_plane(latents)


def manifold_grid(
    decode: Decode, plane: Plane, latents: Floats, *, steps: int = 16, coverage: float = 0.98
) -> ManifoldGrid:
    """Decode the part of a plane that latents cover.

    Args:
        decode: function from latents to images.
        plane: the plane to decode.
        latents: (N, D); the grid covers the middle ``coverage`` of them on each axis.
        steps: number of rows, and of columns.
        coverage: share of the latents, above 0 and at most 1.

    Raises:
        UserError: fewer than two steps.
    """
    if steps < 2:
        raise UserError(f"a grid needs 2 or more steps, not {steps}")
    points = plane.coordinates(latents)
    low, high = np.quantile(points, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    flat = high - low <= 0  # if all latents coincide, the grid is one latent unit wide
    low, high = low - 0.5 * flat, high + 0.5 * flat
    x, y = (np.linspace(a, b, steps) for a, b in zip(low, high, strict=True))
    nodes = plane.latents(np.stack(np.meshgrid(x, y), axis=-1))
    return ManifoldGrid(nodes, decode_grid(decode, nodes), x, y, points, plane.names)


Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
WAYS = ("linear", "spherical", "graph")
_MOST_NEIGHBORS = 160
_PARALLEL = 1e-6  # radians
_STEEPEST = np.pi - 1e-3  # radians; beyond, rounding decides the side of an arc


@dataclass(frozen=True)
class Interpolation:
    """Images along a path from one latent to another.

    Args:
        way: ``linear``, ``spherical`` or ``graph``.
        latents: (S, D), from one to the other.
        images: (S, C, H, W), decoded, in [0, 1].
        positions: (S,), the share of the path, 0 to 1.
        length: Euclidean length of the whole path, in latent units.
        through: (M,), rows of the graph's latents on the path; empty if there is no graph.
        n_neighbors: number of neighbours of each latent in the graph; 0 if there is none.
    """

    way: str
    latents: Floats
    images: Floats
    positions: Doubles
    length: float
    through: Rows
    n_neighbors: int


def linear_path(a: Floats, b: Floats, positions: Doubles) -> Doubles:
    """Return latents (S, D) on the line from a to b, each (D,), at shares (S,) of the line."""
    share = positions[:, None]
    return (1 - share) * np.asarray(a, np.float64) + share * np.asarray(b, np.float64)


def spherical_path(a: Floats, b: Floats, positions: Doubles, centre: Floats) -> Doubles:
    """Return latents (S, D) on the arc around ``centre`` (D,) from a to b.

    The direction turns evenly (slerp: K. Shoemake, SIGGRAPH 1985), and the distance from the centre
    changes linearly. If a and b have the same direction, or one of them is the centre, the path is
    a line.

    Raises:
        UserError: a and b have opposite directions, between which there is no single arc.
    """
    middle = np.asarray(centre, np.float64)
    ends = np.stack([a, b]).astype(np.float64) - middle
    radii = np.linalg.norm(ends, axis=1)
    if not radii.all():
        return linear_path(a, b, positions)
    first, second = ends / radii[:, None]
    # Unlike the arc cosine, this stays accurate for angles near 0 and near pi.
    angle = 2 * np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second))
    if angle < _PARALLEL:
        return linear_path(a, b, positions)
    if angle > _STEEPEST:
        raise UserError(
            "the two latents lie on opposite sides of the centre, and no single arc joins them: "
            "interpolate linearly"
        )
    share = positions[:, None]
    turned = np.sin((1 - share) * angle) * first + np.sin(share * angle) * second
    arc: Doubles = middle + ((1 - share) * radii[0] + share * radii[1]) * turned / np.sin(angle)
    return arc


def graph_path(
    a: Floats, b: Floats, positions: Doubles, latents: Floats, n_neighbors: int = 10
) -> tuple[Doubles, Rows, int]:
    """Return latents (S, D) on the shortest path from a to b over a nearest-neighbour graph.

    The nodes are the latents (N, D), a and b. An edge joins two nodes if one is among the nearest
    neighbours of the other; its length is their distance. If the graph has no path from a to b,
    the number of neighbours is doubled until it has one, up to `_MOST_NEIGHBORS`.

    Returns:
        Points at shares ``positions`` of the path's length, the rows (M,) of ``latents`` on the
        path, and the number of neighbours.

    Raises:
        UserError: the graph has no path from a to b, or ``n_neighbors`` is below 1.
    """
    from latentkit.neighbors import NeighborIndex

    if n_neighbors < 1:
        raise UserError(
            f"a graph of {n_neighbors} nearest neighbours has no edges: ask for 1 or more"
        )
    nodes = np.concatenate([latents, a[None], b[None]])
    index = NeighborIndex(nodes)
    count = min(n_neighbors, len(latents))
    most = min(max(count, _MOST_NEIGHBORS), len(latents))
    while (passed := _shortest(index.neighbors(count))) is None:
        if count == most:
            raise UserError(
                f"the graph of {count} nearest neighbours has no path between the two: ask for "
                f"more neighbours, or interpolate linearly"
            )
        count = min(2 * count, most)
    return _even_points(nodes[passed].astype(np.float64), positions), passed[1:-1], count


def _shortest(found: Neighbors) -> Rows | None:
    """Return the nodes on the shortest path from the last but one to the last; None if none."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    size, degree = found.indices.shape
    starts = np.arange(0, found.indices.size + 1, degree)
    # A sparse graph has no edges of length 0, so duplicates get the smallest positive length.
    lengths = np.maximum(found.distances.astype(np.float64).ravel(), np.finfo(np.float32).tiny)
    graph = csr_array((lengths, found.indices.ravel(), starts), shape=(size, size))
    start, end = size - 2, size - 1
    reached, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    if not np.isfinite(reached[end]):
        return None
    passed = [end]
    while passed[-1] != start:
        passed.append(int(before[passed[-1]]))
    return np.array(passed[::-1], np.int64)


def interpolate(
    decode: Decode,
    a: Floats,
    b: Floats,
    *,
    way: str = "linear",
    steps: int = 10,
    centre: Floats | None = None,
    latents: Floats | None = None,
    n_neighbors: int = 10,
) -> Interpolation:
    """Interpolate from latent a to latent b, each (D,), in even steps.

    Args:
        decode: function from latents to images.
        a: first latent of the path.
        b: last latent of the path.
        way: one of `WAYS`.
        steps: number of images, both ends included.
        centre: (D,), centre of an arc; None for the origin.
        latents: (N, D), nodes of the graph.
        n_neighbors: number of neighbours of each node; more are used if there is no path.

    Raises:
        UserError: there are fewer than two steps, or there is no such path from a to b.
    """
    if steps < 2:
        raise UserError(f"an interpolation needs 2 or more steps, not {steps}")
    positions = np.linspace(0, 1, steps)
    through, degree = np.empty(0, np.int64), 0
    if way == "linear":
        path = linear_path(a, b, positions)
        length = float(np.linalg.norm(path[-1] - path[0]))
    elif way == "spherical":
        around = np.zeros_like(a) if centre is None else centre
        path = spherical_path(a, b, positions, around)
        # The radius changes along the arc, so its length is measured on many short pieces.
        length = _length(spherical_path(a, b, np.linspace(0, 1, 513), around))
    elif way == "graph":
        if latents is None:
            raise UserError("a path over the nearest-neighbour graph needs latents as its nodes")
        path, through, degree = graph_path(a, b, positions, latents, n_neighbors)
        length = _length(np.concatenate([a[None], latents[through], b[None]]))
    else:
        raise UserError(f"there is no way {way!r}: choose from {', '.join(WAYS)}")
    values = path.astype(np.float32)
    return Interpolation(way, values, decode(values), positions, length, through, degree)


def _even_points(corners: Doubles, positions: Doubles) -> Doubles:
    """Return points (S, D) at shares (S,) of the length of a polyline (M, D)."""
    steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    places = positions * along[-1]
    columns = [np.interp(places, along, column) for column in corners.T]
    return np.stack(columns, axis=1)


def _length(points: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(np.diff(np.asarray(points, np.float64), axis=0), axis=1).sum())
