import numpy as np
import pytest

from latentkit.figures.training_figures import kernel_grid, kernels_over_epochs, weight_histograms


def test_each_layer_has_its_histogram_with_count_and_spread():
    figure = weight_histograms({"first": np.array([-1.0, 1.0]), "second": np.zeros(3)}, "title")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["first", "second"]
    assert [axes.get_xlabel() for axes in shown] == ["n = 2, sd 1", "n = 3, sd 0"]
    assert [sum(bar.get_height() for bar in axes.patches) for axes in shown] == [2, 3]


def test_kernels_are_tiled_with_colours_symmetric_about_zero():
    kernels = np.arange(18.0).reshape(2, 1, 3, 3) - 4
    picture = kernel_grid(kernels, "title").axes[0].images[0]
    assert picture.get_clim() == (-13, 13)
    canvas = picture.get_array()
    assert canvas.shape == (3, 7)
    assert np.array_equal(canvas[:, :3], kernels[0, 0])
    assert np.array_equal(canvas[:, 4:], kernels[1, 0])
    assert canvas.mask[:, 3].all()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((8, 1, 3, 3), "8 kernels of 3 × 3."),
        ((8, 3, 5, 5), "8 kernels of 5 × 5, 3 input channels side by side."),
        (
            (99, 32, 3, 3),
            "64 of 99 kernels of 3 × 3, the first 16 of 32 input channels side by side.",
        ),
    ],
)
def test_the_caption_says_how_many_kernels_are_drawn(shape, said):
    caption = kernel_grid(np.ones(shape), "title").get_supxlabel()
    assert caption.replace("\n", " ") == said


def test_kernels_over_epochs_have_a_row_for_each_network_and_a_column_for_each_epoch():
    first, second = np.full((4, 1, 2, 2), 0.5), np.full((1, 6, 2, 2), -2.0)
    rows = [("one", {0: first, 3: first * 2}), ("two", {3: second})]
    figure = kernels_over_epochs(rows, "title")
    assert [axes.get_title(loc="center") for axes in figure.axes] == ["epoch 0", "epoch 3", "", ""]
    assert figure.axes[0].get_ylabel() == "one\n± 1"
    pictures = [[image.get_array() for image in axes.images] for axes in figure.axes]
    assert [len(images) for images in pictures] == [1, 1, 0, 1]
    assert pictures[0][0].shape == (5, 5)  # two by two kernels
    assert pictures[3][0].count() == 4 * 4  # four of the six channels
    assert figure.axes[0].images[0].get_clim() == figure.axes[1].images[0].get_clim() == (-1, 1)
    assert figure.axes[3].images[0].get_clim() == (-2, 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 12, 16])
@pytest.mark.parametrize("count", [12, 32, 48, 64])
def test_kernels_fill_the_figure_however_many_channels_they_have(count, channels):
    canvas = kernel_grid(np.ones((count, channels, 3, 3)), "title").axes[0].images[0].get_array()
    height, width = canvas.shape
    assert 0.75 < width / height < 2.6
    assert canvas.count() == count * channels * 9


def test_the_caption_says_what_the_inputs_are_if_that_is_known():
    figure = kernel_grid(np.ones((2, 4, 3, 3)), "title", "Pixels of a square.")
    assert figure.get_supxlabel().endswith("side by side. Pixels of a square.")
