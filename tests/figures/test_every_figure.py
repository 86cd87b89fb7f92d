"""Properties of every figure, with ordinary and with awkward arrays."""

import io
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from latentkit.figures.encoder_figures import (
    EncoderCurve,
    accuracy_over_labels,
    accuracy_over_seconds,
)
from latentkit.figures.error_figures import (
    class_bars,
    confusion_matrix,
    error_histogram,
    robustness_curve,
)
from latentkit.figures.image_grids import several_reconstructions
from latentkit.figures.latent_figures import code_curve, encoded_item, kl_bars, latent_scatter
from latentkit.figures.style import DPI, save_png, save_svg
from latentkit.figures.training_figures import kernel_grid, kernels_over_epochs, weight_histograms
from latentkit.maps.map_figures import Panel, map_grid, map_pair, map_scatter, map_thumbnails
from latentkit.plugin.options import SearchChoice, SearchRange
from latentkit.plugin.studies import TrialRecord
from latentkit.transfer.transfer_figures import (
    Curve,
    confused_examples,
    confusion_change,
    label_efficiency,
    reliability,
)
from latentkit.tune.parameter_figures import importance_bars, parallel_coordinates, parameter_slices
from latentkit.tune.study_figures import (
    Goal,
    intermediate_curves,
    optimisation_history,
    pareto_front,
)

TITLE = "a $title$ of <b> & _c_"
NAMES = ("$x$", "_hidden", "<b>&amp;", r"\alpha$", "50 % $", "a_{b}^{c}")
WITH_NAMES = (
    "thumbnails",
    "map",
    "latents",
    "confusion",
    "classes",
    "several",
    "weights",
    "change",
    "examples",
    "map pair",
    "parallel",
    "slices",
    "importance",
    "map grid",
    "encoders",
    "encoder seconds",
)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def intervals(values: np.ndarray) -> np.ndarray:
    return np.stack([values, values * 0.9, values * 1.1], axis=1)


def ordinary(n: int = 30, channels: int = 1, names: tuple[str, ...] = NAMES):
    """Return a function for each figure, which draws it with n items."""
    labels = np.arange(n) % len(names)
    images, errors = numbers(n, channels, 8, 8), numbers(n)
    ends = images[:3], images[:3], errors[:3]
    matrix = np.arange(len(names) ** 2).reshape(len(names), -1)
    settings = [(name, images[:4], errors[:4]) for name in names[:6]]
    return {
        "thumbnails": lambda: map_thumbnails(
            numbers(n, 2), images.__getitem__, labels, names, TITLE
        ),
        "map": lambda: map_scatter(numbers(n, 2), labels, names, TITLE),
        "latents": lambda: latent_scatter(numbers(n, 2), labels, names, TITLE),
        "item": lambda: encoded_item(images[0], numbers(4), numbers(4), images[0], TITLE),
        "kl": lambda: kl_bars(numbers(5), TITLE),
        "codes": lambda: code_curve(np.arange(5, 0, -1), 8, TITLE),
        "errors": lambda: error_histogram(errors, *ends, *ends, TITLE),
        "robustness": lambda: robustness_curve(
            np.arange(3.0), intervals(numbers(3)), intervals(numbers(3)), "sd", TITLE
        ),
        "confusion": lambda: confusion_matrix(np.eye(len(names), dtype=int), names, TITLE),
        "classes": lambda: class_bars(
            intervals(numbers(len(names))), numbers(len(names)), names, TITLE
        ),
        "weights": lambda: weight_histograms({name: numbers(20) for name in names}, TITLE),
        "kernels": lambda: kernel_grid(numbers(4, channels, 3, 3) - 0.5, TITLE),
        "several": lambda: several_reconstructions(images[:4], settings, TITLE),
        "change": lambda: confusion_change(matrix, matrix.T, names, TITLE),
        "examples": lambda: confused_examples([(name, images[:3]) for name in names], TITLE),
        "reliability": lambda: reliability([("before", numbers(5, 3))], 99, TITLE, "a caption."),
        "efficiency": lambda: label_efficiency(
            np.array([10, 100]), [curve(2, 3), curve(2, 3)], TITLE
        ),
        "map pair": lambda: map_pair(numbers(n, 2), numbers(n, 2) + 1, labels, names, TITLE),
        "history": lambda: optimisation_history(trials(n, names), GOAL, TITLE),
        "curves": lambda: intermediate_curves(trials(n, names), GOAL, TITLE),
        "parallel": lambda: parallel_coordinates(trials(n, names), space(names), GOAL, TITLE),
        "slices": lambda: parameter_slices(trials(n, names), space(names), GOAL, TITLE),
        "importance": lambda: importance_bars(dict.fromkeys(names, 0.1), TITLE),
        "front": lambda: pareto_front(
            trials(n, names), range(0, n, 2), [GOAL, Goal("$b", "maximize", 1)], TITLE
        ),
        "map grid": lambda: map_grid([Panel("$a", "_b", numbers(n, 2), labels)], names, TITLE),
        "encoders": lambda: accuracy_over_labels([0.01, 0.1, 1], encoders(names), TITLE),
        "encoder seconds": lambda: accuracy_over_seconds(encoders(names), "10-NN", TITLE),
        "kernels over epochs": lambda: kernels_over_epochs(
            [("$a", {0: numbers(4, channels, 3, 3), 1: numbers(4, channels, 3, 3)})], TITLE
        ),
    }


GOAL = Goal("the $goal$")


def space(names: tuple[str, ...]):
    return {"model.a": SearchRange(1, 64, log=True), "b": SearchChoice(names)}


def trials(n: int, names: tuple[str, ...]) -> list[TrialRecord]:
    """Return n trials: two thirds were pruned, and one failed."""
    values = numbers(n, 2)
    return [
        TrialRecord(
            number,
            state := "failed" if number == 1 else "pruned" if number % 3 else "complete",
            {"model.a": 1 + number, "b": names[number % len(names)]},
            tuple(values[number]) if state == "complete" else (),
            reports={1: values[number, 0] + 1, 2: values[number, 0]},
        )
        for number in range(n)
    ]


def curve(shares: int, seeds: int) -> Curve:
    points = numbers(shares, seeds)
    mean = points.mean(1)
    return Curve("fine-tuned", mean, mean - 0.1, mean + 0.1, points)


def encoders(names: tuple[str, ...], ends: float = 0.1) -> list[EncoderCurve]:
    """Return encoders, of which every second one is not trained."""
    values = np.linspace(0.2, 0.9, 3)
    found = {probe: np.stack([values, values - ends, values + ends], 1) for probe in ("10-NN", "l")}
    return [
        EncoderCurve(
            name,
            found,
            None if place % 2 else (1.0 + place, 1.0 + place - ends, 1.0 + place + ends),
            place > 3,
        )
        for place, name in enumerate(names)
    ]


def awkward():
    """Return figures of arrays with faulty, very small or very large contents."""
    one = np.zeros((1, 3, 9, 5), np.uint8)
    zero, many = np.zeros(1), tuple(f"the class number {number} of sixty" for number in range(60))
    same, repeated = np.zeros((30, 2)), one.repeat(30, 0)
    return {
        "thumbnails, one point": lambda: map_thumbnails(same[:1], one.__getitem__, None, (), TITLE),
        "thumbnails, one place": lambda: map_thumbnails(
            same, repeated.__getitem__, zero.repeat(30).astype(int), ("only",), TITLE, "a caption."
        ),
        "latents, 1": lambda: latent_scatter(same[:, :1], None, (), TITLE),
        "latents, constant": lambda: latent_scatter(same, zero.repeat(30).astype(int), (), TITLE),
        "latents, 3": lambda: latent_scatter(numbers(30, 3), None, (), TITLE),
        "latents, 60 classes": lambda: latent_scatter(
            numbers(120, 2), np.arange(120) % 60, many, TITLE
        ),
        "item, 512": lambda: encoded_item(one[0], numbers(512), numbers(512), one[0], TITLE),
        "item, 1": lambda: encoded_item(one[0], zero, None, one[0], TITLE),
        "kl, 512": lambda: kl_bars(numbers(512), TITLE),
        "kl, collapsed": lambda: kl_bars(np.zeros(3), TITLE),
        "codes, one of 4096": lambda: code_curve(np.array([7]), 4096, TITLE),
        "errors, one": lambda: error_histogram(
            zero, one, one, zero, one[:0], one[:0], zero[:0], TITLE
        ),
        "robustness, one": lambda: robustness_curve(
            zero, intervals(zero), intervals(zero), "sd", TITLE, 0.0
        ),
        "confusion, one": lambda: confusion_matrix(np.array([[3]]), ("only",), TITLE),
        "confusion, empty class": lambda: confusion_matrix(np.array([[3, 1], [0, 0]]), (), TITLE),
        "confusion, 60": lambda: confusion_matrix(np.ones((60, 60), int), many, TITLE),
        "classes, 60": lambda: class_bars(intervals(numbers(60)), numbers(60), many, TITLE),
        "classes, one": lambda: class_bars(intervals(zero), zero, (), TITLE),
        "weights, constant": lambda: weight_histograms({"a": zero, "b": zero[:0]}, TITLE),
        "weights, none": lambda: weight_histograms({}, TITLE),
        "kernels, zero": lambda: kernel_grid(np.zeros((1, 1, 3, 3)), TITLE),
        "kernels, many": lambda: kernel_grid(numbers(200, 64, 3, 5), TITLE),
        "change, nothing": lambda: confusion_change(
            np.array([[3, 0], [0, 0]]), np.array([[3, 0], [0, 0]]), (), TITLE
        ),
        "change, 60": lambda: confusion_change(
            np.ones((60, 60), int), np.eye(60, dtype=int), many, TITLE, "a caption."
        ),
        "examples, one": lambda: confused_examples([("a → b: 1", one)], TITLE),
        "reliability, one bin": lambda: reliability([("after", np.ones((1, 3)))], 1, TITLE),
        "efficiency, one seed": lambda: label_efficiency(
            np.array([5]),
            [Curve("probe", zero, zero * np.nan, zero * np.nan, np.zeros((1, 1)))],
            TITLE,
        ),
        "map pair, one place": lambda: map_pair(same, same, zero.repeat(30).astype(int), (), TITLE),
        "map pair, 60 classes in 3-D": lambda: map_pair(
            numbers(120, 3), numbers(120, 3), np.arange(120) % 60, many, TITLE, "a caption.", "pca"
        ),
        "history, one failed": lambda: optimisation_history(
            [TrialRecord(0, "failed", {}, error="why")], GOAL, TITLE
        ),
        "history, equal values": lambda: optimisation_history(
            [TrialRecord(n, "complete", {}, (0.0,)) for n in range(3)], GOAL, TITLE
        ),
        "curves, one epoch": lambda: intermediate_curves(
            [TrialRecord(0, "pruned", {}, reports={1: 0.0})], GOAL, TITLE
        ),
        "parallel, one": lambda: parallel_coordinates(
            trials(1, many), space(many), Goal("a very long name of an objective"), TITLE
        ),
        "parallel, 60 choices": lambda: parallel_coordinates(
            trials(60, many), space(many), GOAL, TITLE
        ),
        "slices, 60 choices": lambda: parameter_slices(trials(60, many), space(many), GOAL, TITLE),
        "slices, one": lambda: parameter_slices(trials(1, many), {"model.a": SearchRange(1, 2)},
            GOAL, TITLE
        ),
        "importance, one": lambda: importance_bars({many[0] * 4: 1.0}, TITLE),
        "front, one": lambda: pareto_front(
            trials(1, many), [0], [GOAL, Goal("b", "minimize", 1)], TITLE
        ),
        "map grid, one place": lambda: map_grid(
            [Panel("a", "b", same, zero.repeat(30).astype(int))] * 6, (), TITLE, "a caption."
        ),
        "kernels over epochs, zero": lambda: kernels_over_epochs(
            [("a", {0: np.zeros((1, 1, 1, 1))}), ("b", {9: np.zeros((1, 1, 16, 128))})], TITLE
        ),
        "encoders, 60 without intervals": lambda: accuracy_over_labels(
            [0.01, 0.1, 1], encoders(many, np.nan), TITLE, "a caption."
        ),
        "encoder seconds, 60 without intervals": lambda: accuracy_over_seconds(
            encoders(many, np.nan), "10-NN", TITLE, "a caption."
        ),
        "encoder seconds, none is trained": lambda: accuracy_over_seconds(
            encoders(many[:2])[1:], "10-NN", TITLE
        ),
        "several, one": lambda: several_reconstructions(one, [("1 epoch", one, zero)], TITLE),
    }  # fmt: skip


def contents(figure: Figure, save) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure"
        save(figure, path)
        return path.read_bytes()


def texts(figure: Figure) -> set[str]:
    """Return the texts that are visible in the figure."""
    root = ElementTree.fromstring(contents(figure, save_svg))
    return {
        "".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")
    }


@pytest.mark.parametrize("name", ordinary())
def test_two_renderings_give_the_same_bytes_and_show_the_title(name):
    first, second = ordinary()[name](), ordinary()[name]()
    assert contents(first, save_png) == contents(second, save_png)
    assert contents(first, save_svg) == contents(second, save_svg)
    assert TITLE in texts(first)


@pytest.mark.parametrize("name", WITH_NAMES)
def test_class_names_are_shown_literally_and_not_read_as_formulas(name):
    assert set(NAMES) <= texts(ordinary()[name]())


@pytest.mark.parametrize("name", awkward())
def test_awkward_arrays_are_drawn_within_the_figure(name):
    figure = awkward()[name]()
    pixels = imread(io.BytesIO(contents(figure, save_png)))
    width, height = figure.get_size_inches() * DPI
    assert pixels.shape[:2] == pytest.approx((height, width), abs=1)
    assert pixels[..., :3].std() > 0.01
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert np.all(edge[:, :3] == 1)  # nothing is cut off


@pytest.mark.parametrize("name", ["thumbnails", "item", "errors", "several", "kernels"])
def test_colour_images_are_drawn_in_colour(name):
    pixels = imread(io.BytesIO(contents(ordinary(channels=3)[name](), save_png)))[::3, ::3]
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 60
