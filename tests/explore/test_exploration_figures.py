import numpy as np
import pytest

from latentkit.explore.exploration_figures import manifold_figure, traversal_table

GENERATOR = np.random.default_rng(0)
NAMES = tuple("abcdefghij")


def texts(axes):
    return [text.get_text() for text in (*axes.get_yticklabels(), *axes.get_xticklabels())]


def test_a_traversal_names_its_sigmas():
    images = GENERATOR.random((2, 3, 1, 8, 8))
    (axes,) = traversal_table(images, np.array([-3, 0, 3]), ["latent 1", "latent 0"], "t").axes
    assert texts(axes) == ["latent 1", "latent 0", "-3σ", "0", "+3σ"]


@pytest.mark.parametrize("labels", [np.arange(60) % 10, None], ids=["labels", "no labels"])
def test_a_decoded_plane_is_drawn_with_high_values_at_the_top_beside_its_points(labels):
    x, y = np.linspace(0, 1, 4), np.linspace(-2, 2, 3)
    images = np.broadcast_to(np.linspace(0, 1, 3)[:, None, None, None, None], (3, 4, 1, 8, 8))
    points = GENERATOR.random((60, 2))
    figure = manifold_figure(
        images, x, y, ("latent 0", "latent 1"), points, labels, NAMES, "title", "said"
    )
    left, right = figure.axes
    assert left.images[0].get_array()[0, 0].tolist() == [1, 1, 1]
    assert left.images[0].get_extent() == pytest.approx((-1 / 6, 7 / 6, -3, 3))
    drawn = np.concatenate([group.get_offsets() for group in right.collections])
    assert np.allclose(np.sort(drawn, axis=0), np.sort(points, axis=0))
    assert left.get_xlabel() == "latent 0, latent units"
    assert bool(figure.legends) == (labels is not None)


def test_points_outside_the_plane_are_not_drawn_or_counted_and_tiles_have_gaps():
    x, y = np.linspace(0, 1, 4), np.linspace(-2, 2, 3)
    points = np.array([[0.5, 0.0], [0.1, 1.0], [0.5, 9.0], [-3.0, 0.0]])
    figure = manifold_figure(
        np.zeros((3, 4, 1, 8, 8)), x, y, ("a", "b"), points, np.array([0, 1, 1, 2]), NAMES, "title"
    )
    left, right = figure.axes
    assert right.get_title(loc="left") == "with 2 of 4 test latents"
    assert sum(len(group.get_offsets()) for group in right.collections) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert [line.get_xdata()[0] for line in left.lines[:3]] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert [line.get_ydata()[0] for line in left.lines[3:]] == [-1, 1]
