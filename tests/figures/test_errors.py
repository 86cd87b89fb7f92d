from types import SimpleNamespace

import numpy as np
import pytest
import torch

from latentkit.figures.error_figures import (
    class_bars,
    confusion_matrix,
    error_histogram,
    robustness_curve,
)
from latentkit.report import sections

VALUES = np.array([[1.0, 0.9, 1.2], [2.0, 1.8, 2.1], [3.0, 3.0, 3.0]])


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_errors_are_a_histogram_with_best_and_worst_beside_their_reconstruction():
    errors, images = np.linspace(0, 1, 101), np.zeros((2, 1, 8, 8))
    ends = [images, images, errors[:2], images, images, errors[-2:]]
    figure = error_histogram(errors, *ends, "title")
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 101
    assert legend(figure.axes[0]) == ["101 images", "median: 0.5000", "95th percentile: 0.9500"]
    assert sum(len(axes.images) for axes in figure.axes) == 8
    below = [axes.get_xlabel() for axes in figure.axes[1:] if axes.get_xlabel()]
    assert below == ["0.0000", "0.0100", "0.9900", "1.0000"]


def test_a_single_test_image_has_the_least_and_the_largest_error(monkeypatch):
    images = torch.zeros(2, 1, 8, 8)
    given = []

    def rebuild(context, rows, **options):
        given.extend(rows)
        return images, images, images

    monkeypatch.setattr(sections, "rebuild", rebuild)
    folder = SimpleNamespace(arrays=lambda path: {"mse": np.array([0.25])})
    config = SimpleNamespace(model=SimpleNamespace(name="m"))
    shown = SimpleNamespace(display_channels=())
    context = SimpleNamespace(folder=folder, config=config, images=lambda split: shown)
    figure, _ = sections._errors(context)
    assert given == [0, 0]
    assert [axes.get_xlabel() for axes in figure.axes[1:] if axes.get_xlabel()] == ["0.2500"] * 2


def test_a_robustness_curve_has_bands_and_marks_the_training_strength():
    strengths = np.array([0.2, 0.0, 0.1])
    figure = robustness_curve(strengths, VALUES, 2 * VALUES, "noise (sd)", "title", 0.1)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "noise (sd)"
    assert len(axes.collections) == 2
    model = axes.lines[1]
    assert list(model.get_xdata()) == [0.0, 0.1, 0.2]
    assert list(model.get_ydata()) == [2.0, 3.0, 1.0]
    assert "trained at 0.1" in legend(axes)
    without = robustness_curve(strengths, VALUES, VALUES, "noise (sd)", "title")
    assert len(legend(without.axes[0])) == 2


def test_a_confusion_matrix_shows_shares_of_the_true_class_and_counts():
    matrix = np.array([[3, 1], [0, 0]])
    figure = confusion_matrix(matrix, ("a", "b"), "title")
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "0"]
    assert "4 images, accuracy 0.7500" in figure.get_supxlabel()


@pytest.mark.parametrize(("classes", "counts", "names"), [(20, 400, 20), (60, 0, 60), (200, 0, 50)])
def test_counts_and_names_are_written_if_there_is_room(classes, counts, names):
    axes = confusion_matrix(np.eye(classes, dtype=int), (), "title").axes[0]
    assert len(axes.texts) == counts
    assert len(axes.get_xticks()) == names


def test_class_bars_keep_their_order_and_show_the_baseline():
    figure = class_bars(VALUES, np.array([4.0, 5.0, 6.0]), ("a", "b"), "title", "nats", "raw")
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 2.0, 3.0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b", "2"]
    assert axes.yaxis_inverted()
    assert list(axes.lines[-1].get_xdata()) == [4.0, 5.0, 6.0]
    ends = [segment[:, 0].tolist() for segment in axes.collections[0].get_segments()]
    assert ends[:2] == [[0.9, 1.2], [1.8, pytest.approx(2.1)]]
    assert axes.get_xlabel() == "nats"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model", "raw"]
