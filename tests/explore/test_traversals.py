"""Traversals and paths through latents, with a decoder that shows each latent as one pixel."""

import numpy as np
import pytest

from latentkit.errors import UserError
from latentkit.explore.scale import latent_scale
from latentkit.explore.traversals import (
    graph_path,
    interpolate,
    manifold_grid,
    plane_through,
    spherical_path,
    traverse,
)

GENERATOR = np.random.default_rng(0)
LATENTS = (GENERATOR.normal(size=(4000, 4)) * [1, 3, 0.5, 2] + [5, 0, 0, -1]).astype(np.float32)


def decode(latents):
    """Return images (N, 1, 1, D) whose pixels are the latents."""
    return latents[:, None, None, :]


def ring(n):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_a_traversal_moves_one_dimension_by_sigmas_and_leaves_the_others():
    scale = latent_scale(LATENTS)
    found = traverse(decode, LATENTS[7], scale, steps=5, reach=2)
    assert found.dimensions.tolist() == [1, 3, 0, 2]  # largest spread first
    assert found.images.shape == (4, 5, 1, 1, 4)
    assert found.sigmas.tolist() == [-2, -1, 0, 1, 2]
    for row, dimension in enumerate(found.dimensions):
        others = np.delete(np.arange(4), dimension)
        assert (found.latents[row][:, others] == LATENTS[7, others]).all()
        moved = (found.latents[row, :, dimension] - LATENTS[:, dimension].mean()) / LATENTS[
            :, dimension
        ].std()
        assert np.allclose(moved, found.sigmas, atol=1e-5)
    assert np.array_equal(found.images[:, :, 0, 0], found.latents)


def test_dimensions_are_sorted_by_kl_if_it_is_known():
    scale = latent_scale(LATENTS, kl=np.array([0.1, 0.0, 4.0, 2.0]))
    found = traverse(decode, scale.mean, scale)
    assert found.dimensions.tolist() == [2, 3, 0, 1]
    assert found.weights.tolist() == [4.0, 2.0, 0.1, 0.0]
    assert found.weight_name == "KL (nats)"
    assert np.allclose(found.start, 0)


def test_the_traversal_of_a_constant_dimension_stays_in_place():
    latents = LATENTS.copy()
    latents[:, 2] = 1
    found = traverse(decode, latents[0], latent_scale(latents), dimensions=[2])
    assert (found.latents[0, :, 2] == 1).all()
    assert np.isfinite(found.start).all()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"dimensions": [4]}, "no latent dimension 4: choose from 0 to 3"),
        ({"steps": 1}, "2 or more steps"),
        ({"reach": 0.0}, "a reach above 0"),
        ({"reach": float("nan")}, "a reach above 0"),
    ],
)
def test_a_traversal_with_an_invalid_dimension_steps_or_reach_is_refused(chosen, message):
    with pytest.raises(UserError, match=message):
        traverse(decode, LATENTS[0], latent_scale(LATENTS), **chosen)


def test_two_latents_span_the_plane_themselves():
    flat = LATENTS[:, :2]
    grid = manifold_grid(decode, plane_through(flat), flat, steps=7)
    assert grid.names == ("latent 0", "latent 1")
    assert np.allclose(grid.points, flat, atol=1e-6)
    assert np.allclose(grid.latents[3, 5], [grid.x[5], grid.y[3]], atol=1e-6)
    within = (flat[:, 0] >= grid.x[0]) & (flat[:, 0] <= grid.x[-1])
    assert within.mean() == pytest.approx(0.98, abs=0.002)


def test_identical_latents_get_a_grid_around_them():
    flat = np.full((5, 2), 3, np.float32)
    grid = manifold_grid(decode, plane_through(flat), flat, steps=3)
    assert np.allclose(grid.x, [2.5, 3, 3.5])
    assert np.allclose(grid.y, [2.5, 3, 3.5])


def test_more_latents_use_the_plane_of_most_variance():
    grid = manifold_grid(decode, plane_through(LATENTS), LATENTS, steps=3)
    # Dimensions 1 and 3 have the largest spreads, of 3 and 2.
    assert np.allclose(grid.points[:, 0], LATENTS[:, 1] - LATENTS[:, 1].mean(), atol=0.8)
    assert np.ptp(grid.latents[..., 0]) < 0.5
    assert "of the variance" in grid.names[0]


def test_a_plane_of_two_dimensions_keeps_the_others_at_their_mean():
    plane = plane_through(LATENTS, (2, 0))
    assert np.allclose(plane.coordinates(LATENTS), LATENTS[:, [2, 0]], atol=1e-5)
    nodes = plane.latents(np.array([[1.0, 2.0]]))
    mean = LATENTS.mean(axis=0)
    assert np.allclose(nodes, [[2, mean[1], 1, mean[3]]], atol=1e-5)


@pytest.mark.parametrize(
    ("latents", "dimensions", "message"),
    [
        (LATENTS[:, :1], None, "needs two latent dimensions"),
        (LATENTS, (1, 1), "two different dimensions"),
        (LATENTS, (0, 9), "no latent dimension 9"),
    ],
)
def test_a_plane_without_two_existing_different_dimensions_is_refused(latents, dimensions, message):
    with pytest.raises(UserError, match=message):
        plane_through(latents, dimensions)


def test_a_line_and_an_arc_start_and_end_at_the_items():
    a, b = LATENTS[:2]
    for way in ("linear", "spherical"):
        found = interpolate(decode, a, b, way=way, steps=6, centre=LATENTS.mean(axis=0))
        assert np.allclose(found.latents[[0, -1]], [a, b], atol=1e-4)
        assert np.array_equal(found.images[:, 0, 0], found.latents)
    assert interpolate(decode, a, b).length == pytest.approx(np.linalg.norm(b - a), rel=1e-5)


def test_an_arc_turns_evenly_at_a_constant_distance_from_the_centre():
    centre = np.array([1.0, 1.0], np.float32)
    a, b = np.array([[3, 1], [1, 3]], np.float32)
    found = interpolate(decode, a, b, way="spherical", steps=4, centre=centre)
    angles = np.degrees(np.arctan2(*(found.latents - centre).T[::-1]))
    assert np.allclose(angles, [0, 30, 60, 90], atol=1e-4)
    assert np.allclose(np.linalg.norm(found.latents - centre, axis=1), 2, atol=1e-5)
    assert found.length == pytest.approx(np.pi, rel=1e-4)


def test_an_arc_between_parallel_latents_is_a_line_and_between_opposite_ones_is_refused():
    a = np.array([1.0, 2.0], np.float32)
    zero = np.zeros(2, np.float32)
    positions = np.linspace(0, 1, 3)
    assert np.allclose(spherical_path(a, 3 * a, positions, zero), [a, 2 * a, 3 * a])
    assert np.allclose(spherical_path(zero, a, positions, zero), [zero, a / 2, a])
    with pytest.raises(UserError, match="opposite sides of the centre"):
        spherical_path(a, -a, positions, zero)


def test_a_path_over_neighbours_follows_the_ring_that_a_line_would_cut():
    points = ring(400)
    found = interpolate(decode, points[0], points[200], way="graph", steps=9, latents=points)
    radii = np.linalg.norm(found.latents, axis=1)
    assert radii.min() > 0.99
    assert found.length == pytest.approx(np.pi, rel=0.01)
    assert len(found.through) > 20
    straight = interpolate(decode, points[0], points[200], steps=9)
    assert np.linalg.norm(straight.latents, axis=1).min() < 0.01
    gaps = np.linalg.norm(np.diff(found.latents, axis=0), axis=1)
    assert gaps.max() / gaps.min() < 1.05


def test_unconnected_groups_have_no_path_between_them():
    islands = np.concatenate([ring(200), ring(200) + 100])
    positions = np.linspace(0, 1, 3)
    with pytest.raises(UserError, match="160 nearest neighbours has no path between the two: ask"):
        graph_path(islands[0], islands[260], positions, islands, 5)


def test_the_number_of_neighbours_is_doubled_until_there_is_a_path():
    islands = np.concatenate([ring(12), ring(12) + 100])
    points, _, degree = graph_path(islands[0], islands[20], np.linspace(0, 1, 3), islands, 5)
    assert degree == 20
    assert np.allclose(points[[0, -1]], islands[[0, 20]])


def test_an_unknown_path_or_one_without_steps_is_refused():
    with pytest.raises(UserError, match="2 or more steps"):
        interpolate(decode, LATENTS[0], LATENTS[1], steps=1)
    with pytest.raises(UserError, match="choose from linear, spherical, graph"):
        interpolate(decode, LATENTS[0], LATENTS[1], way="straight")
