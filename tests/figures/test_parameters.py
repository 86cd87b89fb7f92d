import numpy as np
import pytest
from matplotlib.colors import to_hex

from latentkit.figures.parameters import (
    parallel_coordinates,
    parameter_name,
    spread_choices,
    ticks_of,
)
from latentkit.figures.trials import BEST, FAINT, Goal
from latentkit.plugin.options import SearchChoice, SearchRange
from latentkit.plugin.studies import TrialRecord

SPACE = {
    "model.latent_dim": SearchRange(2, 32, log=True),
    "model.dropout": SearchRange(0.0, 0.5),
    "model.activation": SearchChoice(("relu", "gelu", "tanh")),
}
LOSS = Goal("validation loss")


def trial(number, state, latent_dim, dropout, activation, *values):
    params = {"latent_dim": latent_dim, "dropout": dropout, "activation": activation}
    named = {f"model.{name}": value for name, value in params.items() if value is not None}
    return TrialRecord(number, state, named, values)


TRIALS = (
    trial(0, "complete", 2, 0.0, "relu", 0.5),
    trial(1, "pruned", 32, 0.5, "gelu"),
    trial(2, "complete", 8, 0.25, "tanh", 0.3),
    trial(3, "complete", 32, None, "gelu", 0.4),
    trial(4, "failed", 4, 0.1, "gelu"),
)


def lines(figure):
    """Return the faint lines, those of completed trials and that of the best."""
    return figure.axes[0].collections


@pytest.mark.parametrize(
    ("direction", "best", "order"), [("minimize", 0.0, [1.0, 0.5]), ("maximize", 1.0, [0.0, 0.5])]
)
def test_each_trial_is_a_line_through_its_parameters_to_its_value(direction, best, order):
    goal = Goal("accuracy", direction)
    faint, done, chosen = lines(parallel_coordinates(TRIALS, SPACE, goal, "title"))
    assert [len(line) for line in faint.get_segments()] == [3, 3]  # they end before the objective
    assert to_hex(faint.get_color()[0]) == FAINT
    ends = [line[-1].tolist() for line in done.get_segments()]
    assert ends == [[3, pytest.approx(end)] for end in order]  # the better above the worse
    (line,) = chosen.get_segments()
    assert line[-1].tolist() == [3, best]
    assert to_hex(chosen.get_color()[0]) == BEST


def test_places_follow_the_scale_of_the_search():
    (line,) = lines(parallel_coordinates(TRIALS, SPACE, LOSS, "title"))[2].get_segments()
    assert line[:, 1] == pytest.approx([0.5, 0.5, 5 / 6, 0.0])  # 8 is halfway from 2 to 32


def test_a_line_is_broken_where_a_trial_lacks_a_parameter():
    done = lines(parallel_coordinates(TRIALS, SPACE, LOSS, "title"))[1]
    assert [np.isnan(path.vertices[:, 1]).tolist() for path in done.get_paths()] == [
        [False] * 4,
        [False, True, False, False],
    ]


def test_axes_are_named_and_numbered():
    figure = parallel_coordinates(TRIALS, SPACE, LOSS, "title")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"model.\nlatent_dim", "model.\ndropout", "validation loss"} <= set(texts)
    assert {"2", "5", "10", "20", "relu", "gelu", "tanh", "0.3", "0.5"} <= set(texts)
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "(lower is better); the best, trial 2, is red" in caption
    assert "Grey: 2 trials that did not complete" in caption


def test_one_completed_trial_and_equal_values_are_drawn():
    for trials in (TRIALS[:2], (*TRIALS[:1], trial(1, "complete", 2, 0.0, "relu", 0.5))):
        (line,) = lines(parallel_coordinates(trials, SPACE, LOSS, "title"))[2].get_segments()
        assert line[-1, 1] == 0.5


def test_names_of_eight_parameters_and_long_choices_do_not_overlap():
    words = tuple(f"a choice whose name is very long {letter}" for letter in "abcdefgh")
    space = {f"training.the_very_long_option_{n}": SearchChoice(words) for n in range(8)}
    trials = [
        TrialRecord(n, "complete", {key: words[(n + len(key)) % 8] for key in space}, (n + 1.0,))
        for n in range(100)
    ]
    figure = parallel_coordinates(trials, space, LOSS, "title")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    overlapping = [
        (a, b)
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        if a.padded(-1).overlaps(b.padded(-1))
    ]
    assert len(boxes) > 8 * 9
    assert not overlapping


def test_choices_are_numbered_and_equal_ones_spread_about_their_number():
    domain = SearchChoice(("a", "b"))
    places = spread_choices(domain, ["b", "a", "b", "c"])
    assert places[[1, 0, 2]] == pytest.approx([0, 0.75, 1.25])
    assert np.isnan(places[3])


@pytest.mark.parametrize(
    ("domain", "texts"),
    [
        (SearchRange(2, 64, log=True), ["2", "5", "10", "20", "50"]),
        (SearchRange(1e-4, 1e-2, log=True), ["0.0001", "0.0003", "0.001", "0.003", "0.01"]),
        (SearchRange(1e-8, 1e2, log=True), ["1e-08", "1e-05", "0.01", "10"]),
        (SearchRange(3.1, 3.9, log=True), ["3.1", "3.9"]),
        (SearchRange(1, 4), ["1", "2", "3", "4"]),
        (SearchRange(0.0, 1.0), ["0", "0.25", "0.5", "0.75", "1"]),
        (SearchChoice((True, False)), ["True", "False"]),
    ],
)
def test_ticks_are_few_and_round(domain, texts):
    assert [text for _, text in ticks_of(domain)] == texts


def test_a_long_name_is_cut_in_both_of_its_lines():
    name = parameter_name("a_plugin_of_a_long_name.an_option_of_a_long_name")
    assert [len(line) for line in name.split("\n")] == [16, 15]
