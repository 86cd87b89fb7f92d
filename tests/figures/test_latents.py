import numpy as np
import pytest

from latentkit.figures.latent_figures import code_curve, encoded_item, kl_bars, latent_scatter

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(60) % 3


@pytest.mark.parametrize(
    ("dimensions", "panels"), [(1, 1), (2, 3), (3, 7), (4, 10), (5, 15), (16, 21)]
)
def test_all_pairs_of_dimensions_are_drawn_and_three_also_in_space(dimensions, panels):
    figure = latent_scatter(GENERATOR.normal(size=(60, dimensions)), LABELS, "abc", "title")
    assert len(figure.axes) == panels
    assert [axes.name for axes in figure.axes].count("3d") == (dimensions == 3)


def test_only_the_dimensions_of_largest_variance_are_drawn_if_there_are_many():
    latents = GENERATOR.normal(size=(60, 512)) * 0.1
    latents[:, [7, 300]] *= (50, 100)
    figure = latent_scatter(latents, None, (), "title")
    below = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert below[:2] == ["latent 300", "latent 7"]
    assert len(below) == 6
    assert "the 6 of 512 dimensions with the largest variance" in figure.get_supxlabel().replace(
        "\n", " "
    )
    assert not figure.legends


def test_the_diagonal_counts_all_latents_by_class():
    figure = latent_scatter(GENERATOR.normal(size=(60, 2)), LABELS, "abc", "title")
    stacked = figure.axes[0].patches
    assert len(stacked) == 3
    assert figure.axes[0].get_ylim()[1] > 0
    assert figure.legends[0].get_title().get_text() == "60 points"


def test_an_item_is_shown_with_its_code_and_error():
    image = np.full((1, 8, 8), 0.5)
    figure = encoded_item(image, np.array([1.0, -2.0]), np.array([0.1, 0.2]), image + 0.1, "title")
    left, middle, right = figure.axes
    assert [bar.get_height() for bar in middle.patches] == [1.0, -2.0]
    assert "±" in middle.get_title(loc="center")
    ((low, high),) = np.diff(
        [line[:, 1] for line in middle.collections[0].get_segments()], axis=1
    ).T
    assert (low, high) == pytest.approx((0.2, 0.4))
    assert right.get_xlabel() == "MSE 0.0100"
    assert len(left.images) == len(right.images) == 1


def test_an_image_in_bytes_and_its_reconstruction_in_fractions_share_a_scale():
    image = np.full((3, 8, 8), 255, np.uint8)
    figure = encoded_item(image, np.ones(2), None, np.ones((3, 8, 8), np.float32), "title")
    assert figure.axes[2].get_xlabel() == "MSE 0.0000"
    assert not figure.axes[1].collections


def test_kl_is_sorted_and_inactive_dimensions_look_different():
    figure = kl_bars(np.array([0.5, 0.001, 2.0]), "title")
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2.0, 0.5, 0.001]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "0", "1"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(legend) == {"above threshold: 2", "below threshold: 1", "threshold: 0.01 nats"}


def test_codes_are_drawn_by_frequency_beside_equally_frequent_ones():
    axes = code_curve(np.array([6, 3, 1]), 5, "title").axes[0]
    (steps,) = axes.patches
    assert steps.get_data().values.tolist() == [0.6, 0.3, 0.1]
    assert axes.get_xlim() == (0, 5)
    assert axes.lines[0].get_ydata()[0] == 0.2


def test_the_error_of_a_corrupted_item_is_measured_against_the_clean_image():
    clean = np.full((1, 8, 8), 0.5)
    figure = encoded_item(clean + 0.3, np.ones(2), None, clean + 0.1, "title", clean=clean)
    assert "MSE 0.0100" in [axes.get_xlabel() for axes in figure.axes]
