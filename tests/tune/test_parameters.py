import numpy as np
import pytest
from matplotlib.colors import to_hex

from latentkit.plugin.options import SearchChoice, SearchRange
from latentkit.plugin.studies import TrialRecord
from latentkit.tune.parameter_figures import parallel_coordinates
from latentkit.tune.study_figures import BEST, FAINT, Goal

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
    """Return the faint lines, the lines of completed trials, and the line of the best trial."""
    return figure.axes[0].collections


@pytest.mark.parametrize(
    ("direction", "best", "order"), [("minimize", 0.0, [1.0, 0.5]), ("maximize", 1.0, [0.0, 0.5])]
)
def test_each_trial_is_a_line_through_its_parameters_to_its_value(direction, best, order):
    goal = Goal("accuracy", direction)
    faint, done, chosen = lines(parallel_coordinates(TRIALS, SPACE, goal, "title"))
    assert [len(line) for line in faint.get_segments()] == [3, 3]  # these end before the objective
    assert to_hex(faint.get_color()[0]) == FAINT
    ends = [line[-1].tolist() for line in done.get_segments()]
    assert ends == [[3, pytest.approx(end)] for end in order]  # better values are higher
    (line,) = chosen.get_segments()
    assert line[-1].tolist() == [3, best]
    assert to_hex(chosen.get_color()[0]) == BEST


def test_positions_follow_the_scale_of_the_search():
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
    assert "(lower is better). Red: trial 2, which has the best final value." in caption
    assert "Grey: 2 trials without a value." in caption


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
