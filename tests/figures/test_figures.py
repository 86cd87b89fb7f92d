import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from latentkit.figures import image_grids
from latentkit.figures.image_grids import reconstruction_rows, sample_grid, several_reconstructions
from latentkit.figures.style import (
    DPI,
    MARKERS,
    PALETTE,
    EpochLocator,
    class_style,
    edge_colour,
    empty_figure,
    house_style,
    marker_scale,
    save_png,
    shown,
)
from latentkit.figures.training_figures import loss_curves
from latentkit.maps.map_figures import map_scatter

GENERATOR = np.random.default_rng(0)
NAMES = tuple("abcdefghij")
LABELS = np.arange(200) % 10


def drawn(figure: Figure, tmp_path: Path):
    path = tmp_path / "figure.png"
    save_png(figure, path)
    pixels = imread(path)
    width, height = figure.get_size_inches() * DPI
    assert pixels.shape[:2] == pytest.approx((height, width), abs=1)
    return pixels


@pytest.mark.parametrize("n_components", [2, 3])
@pytest.mark.parametrize("labels", [LABELS, None], ids=["labels", "no labels"])
def test_a_map_is_drawn_in_two_and_three_dimensions(tmp_path, n_components, labels):
    coordinates = GENERATOR.normal(size=(200, n_components))
    figure = map_scatter(coordinates, labels, NAMES, "title", "a caption " * 30, "pca")
    pixels = drawn(figure, tmp_path)
    assert pixels.std() > 0.01
    assert bool(figure.legends) == (labels is not None)


def test_a_map_names_each_class_and_no_two_names_overlap():
    coordinates = GENERATOR.normal(size=(200, 2)) * 1e-3  # all medians nearly coincide
    figure = map_scatter(coordinates, LABELS, ("Ankle boot",) * 10, "title")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 10
    heights = sorted(box.y0 for box in boxes)
    assert min(np.diff(heights)) > 0.8 * boxes[0].height


def test_the_legend_of_many_classes_is_shortened():
    labels = np.arange(200) % 47
    figure = map_scatter(GENERATOR.normal(size=(200, 2)), labels, (), "title")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "27 more classes" in names
    assert len(names) == 21


def test_classes_differ_in_colour_or_marker():
    assert len({class_style(label) for label in range(20)}) == 20
    assert len(set(PALETTE)) == 10


def test_no_class_is_drawn_much_lighter_than_another():
    ink = []
    for marker in MARKERS:
        axes = Figure(figsize=(1, 1), dpi=200).add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.scatter(0, 0, s=600 * marker_scale(marker), marker=marker, c="black", linewidths=0)
        canvas = FigureCanvasAgg(axes.figure)
        canvas.draw()
        ink.append(np.sum(np.asarray(canvas.buffer_rgba())[..., 0] < 128))
    assert max(ink) < 1.6 * min(ink)
    assert [colour for colour in PALETTE if edge_colour(colour) != colour] == ["#92dadd"]


def test_a_pale_class_has_a_darker_edge_on_the_map_and_in_the_legend():
    figure = map_scatter(GENERATOR.normal(size=(200, 2)), LABELS, NAMES, "title")
    edges = {to_hex(group.get_edgecolor()[0]) for group in figure.axes[0].collections}
    assert edge_colour(PALETTE[9]) in edges
    assert PALETTE[9] not in edges
    assert figure.legends[0].legend_handles[9].get_markeredgecolor() == edge_colour(PALETTE[9])


@pytest.mark.parametrize(
    ("epochs", "ticks"), [(1, [1]), (4, [1, 2, 3, 4]), (30, [1, 5, 10, 15, 20, 25, 30])]
)
def test_epochs_are_numbered_from_one(epochs, ticks):
    losses = [
        {"epoch": n, "train": {"loss": n}, "validation": {"loss": n}} for n in range(1, epochs + 1)
    ]
    figure = loss_curves(losses, "title")
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    low, high = sorted(axis.get_view_interval())
    assert isinstance(axis.get_major_locator(), EpochLocator)
    assert [tick for tick in axis.get_majorticklocs() if low <= tick <= high] == ticks


def test_a_sample_grid_has_a_row_for_each_class(tmp_path):
    images = GENERATOR.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    figure = sample_grid(images, LABELS, NAMES, "title")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == list(NAMES)
    drawn(figure, tmp_path)


def test_unlabelled_images_and_few_images_are_drawn_too(tmp_path):
    colour = GENERATOR.random((3, 3, 9, 11))
    drawn(sample_grid(colour, None, (), "title"), tmp_path)


def test_reconstructions_show_their_error():
    images = GENERATOR.random((4, 1, 8, 8))
    rows = [("original", images), ("corrupted", images), ("reconstruction", images)]
    figure = reconstruction_rows(rows, np.array([0.1, 0.2, 0.3, 0.4]), "title")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0.1000", "0.2000", "0.3000", "0.4000"]


def test_each_compared_model_has_a_row_with_its_errors():
    images = GENERATOR.random((2, 1, 8, 8))
    rows = [(f"{e} epochs", images, np.array([0.1, 0.2]) / e) for e in (1, 2)]
    figure = several_reconstructions(images, rows, "title")
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["original", "1 epochs", "2 epochs"]
    assert [text.get_text() for text in axes.texts] == ["0.1000", "0.2000", "0.0500", "0.1000"]


def test_the_axis_of_a_loss_that_falls_far_has_plain_numbers():
    history = [
        {"epoch": e, "train": {"loss": 10.0**-e}, "validation": {"loss": 2 * 10.0**-e}}
        for e in range(4)
    ]
    figure = loss_curves(history, "title")
    figure.canvas.draw()
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert {"0.01", "0.1", "1"} <= set(ticks)


def test_a_very_long_name_is_cut_in_its_middle():
    assert shown(("x" * 50 + "y" * 50,), 0) == "x" * 13 + "…" + "y" * 13


def test_the_lowest_validation_loss_is_marked():
    history = [
        {"epoch": e, "train": {"loss": 1 / e}, "validation": {"loss": loss}}
        for e, loss in enumerate([3.0, 0.5, 0.7], 1)
    ]
    figure = loss_curves(history, "title")
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "least validation loss: 0.5 (epoch 2)" in legend


def test_a_figure_is_drawn_twice_to_the_same_bytes_without_changing_settings():
    before = dict(mpl.rcParams)
    contents = []
    for _ in range(2):
        buffer = io.BytesIO()
        save_png(map_scatter(np.eye(6)[:, :2], None, (), "title"), buffer)
        contents.append(buffer.getvalue())
    assert contents[0] == contents[1]
    assert dict(mpl.rcParams) == before


def test_settings_of_the_user_do_not_change_a_figure(tmp_path):
    def draw(name):
        with house_style():
            figure = empty_figure(3, 2)
            figure.subplots().plot([1, 3, 2], label="loss")
        save_png(figure, tmp_path / name)
        return (tmp_path / name).read_bytes()

    before = draw("before.png")
    with mpl.rc_context({"text.usetex": True, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert draw("after.png") == before
        assert mpl.rcParams["lines.linewidth"] == 9


def test_pictures_show_the_chosen_channels_of_images_of_any_depth():
    images = np.arange(6, dtype=np.uint16).reshape(1, 6, 1, 1).repeat(4, 2).repeat(5, 3) * 10_000
    assert image_grids.displayed(images)[0, :, 0, 0].tolist() == [0, 10_000, 20_000]
    assert image_grids.displayed(images[:, :2]).shape == (1, 1, 4, 5)
    assert image_grids.displayed(images, (5, 0, 1))[0, :, 0, 0].tolist() == [50_000, 0, 10_000]
    shown = image_grids.pixels(images[0])
    assert shown.shape == (4, 5, 3)
    assert shown[0, 0].tolist() == [0, 10_000 / 65_535, 20_000 / 65_535]
