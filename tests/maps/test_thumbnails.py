import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from latentkit.figures.style import PALETTE, class_style
from latentkit.maps.map_figures import map_thumbnails

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(300) % 3
IMAGES = GENERATOR.random((300, 1, 8, 4))


def frames(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def test_thumbnails_do_not_overlap_and_each_is_at_its_point():
    coordinates = GENERATOR.normal(size=(300, 2))
    figure = map_thumbnails(coordinates, IMAGES.__getitem__, LABELS, "abc", "title")
    boxes = np.array([[*f.get_xy(), f.get_width(), f.get_height()] for f in frames(figure)])
    assert 30 < len(boxes) == len(figure.axes[0].images)
    corners, sides = boxes[:, :2], boxes[0, 2:]
    apart = np.abs(corners[:, None] - corners[None]) >= sides
    assert (apart.any(axis=2) | np.eye(len(boxes), dtype=bool)).all()
    centres = corners + sides / 2
    assert np.abs(centres[:, None] - coordinates[None]).sum(2).min(1).max() < 1e-9
    assert sides[1] == pytest.approx(2 * sides[0])  # as in the images


def test_frames_have_the_colour_of_the_class():
    coordinates = np.arange(3)[:, None] * np.ones(2)
    labelled = frames(map_thumbnails(coordinates, IMAGES.__getitem__, LABELS[:3], "abc", "title"))
    assert {to_hex(f.get_edgecolor()) for f in labelled} == {class_style(k)[0] for k in range(3)}
    plain = frames(map_thumbnails(coordinates, IMAGES.__getitem__, None, (), "title"))
    assert {to_hex(f.get_edgecolor()) for f in plain} == {PALETTE[0]}


def test_if_there_are_few_images_all_are_shown_and_counted():
    coordinates = np.arange(5)[:, None] * np.ones(2)
    figure = map_thumbnails(coordinates, IMAGES.__getitem__, None, (), "title", "quality 0.9.")
    assert len(frames(figure)) == 5
    assert figure.get_supxlabel() == (
        "quality 0.9. 5 of 5 images are shown, each at its own point."
    )


def test_thumbnails_are_within_the_axes():
    coordinates = GENERATOR.normal(size=(50, 2))
    figure = map_thumbnails(coordinates, IMAGES.__getitem__, None, (), "title")
    figure.canvas.draw()
    box = figure.axes[0].get_window_extent()
    for frame in frames(figure):
        assert box.fully_containsx(frame.get_window_extent().x0)
        assert box.fully_containsx(frame.get_window_extent().x1)
        assert box.fully_containsy(frame.get_window_extent().y0)
        assert box.fully_containsy(frame.get_window_extent().y1)
