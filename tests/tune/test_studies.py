import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from latentkit.plugin.studies import TrialRecord
from latentkit.tune.study_figures import (
    BEST,
    FAINT,
    Goal,
    intermediate_curves,
    optimisation_history,
    shades,
)

LOSS = Goal("validation loss")
ACCURACY = Goal("accuracy", "maximize")


def complete(number, value, reports=None):
    return TrialRecord(number, "complete", {}, (value,), reports=reports or {})


TRIALS = (
    complete(0, 0.5, {1: 0.9, 2: 0.5}),
    complete(1, 0.7, {1: 0.8, 2: 0.7}),
    TrialRecord(2, "pruned", {}, reports={2: 0.85, 1: 0.95}),
    complete(3, 0.3, {1: 0.6, 2: 0.3}),
    TrialRecord(4, "failed", {}, reports={1: math.inf}, error="DivergedError: the loss is nan"),
    TrialRecord(5, "running", {}, reports={1: 0.7}),
)


def labelled(figure):
    """Return the lines of a figure by their entry in the legend."""
    return {line.get_label(): line for line in figure.axes[0].lines}


def points(line):
    return list(zip(*line.get_data(), strict=True))


def test_each_state_of_trial_has_its_own_marker_at_its_value_or_last_report():
    lines = labelled(optimisation_history(TRIALS, LOSS, "title"))
    assert points(lines["completed (3)"]) == [(0, 0.5), (1, 0.7), (3, 0.3)]
    assert points(lines["pruned (1)"]) == [(2, 0.85)]
    assert points(lines["unfinished (1)"]) == [(5, 0.7)]
    kinds = ("completed (3)", "pruned (1)", "unfinished (1)", "failed (1)")
    assert len({lines[name].get_marker() for name in kinds}) == 4


def test_a_trial_without_a_value_is_marked_on_the_lower_axis():
    figure = optimisation_history(TRIALS, LOSS, "title")
    (bare,) = (line for line in figure.axes[0].lines if line.get_label().startswith("_"))
    assert points(bare) == [(4, 0)]
    assert bare.get_transform() == figure.axes[0].get_xaxis_transform()
    assert "Trials on the lower axis have no value." in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize(
    ("goal", "steps", "star"),
    [
        (LOSS, [0.5, 0.5, 0.3, 0.3], "best: 0.3 (trial 3)"),
        (ACCURACY, [0.5, 0.7, 0.7, 0.7], "best: 0.7 (trial 1)"),
    ],
)
def test_the_best_so_far_follows_the_direction_of_the_objective_to_the_last_trial(
    goal, steps, star
):
    figure = optimisation_history(TRIALS, goal, "title")
    lines = labelled(figure)
    assert points(lines["best so far"]) == list(zip([0, 1, 3, 5], steps, strict=True))
    assert lines["best so far"].get_drawstyle() == "steps-post"
    assert star in lines
    assert figure.axes[0].get_ylabel() == goal.name
    assert figure.get_supxlabel().startswith(goal.better.capitalize())


def test_without_a_completed_trial_there_is_no_best():
    lines = labelled(optimisation_history(TRIALS[2:3], LOSS, "title"))
    assert set(lines) == {"pruned (1)"}


@pytest.mark.parametrize(
    ("last", "scale"), [(4.0, "linear"), (6.0, "log"), (-1.0, "linear"), (0.0, "linear")]
)
def test_values_of_more_than_a_decade_are_on_a_logarithmic_axis(last, scale):
    trials = (complete(0, 0.5), complete(1, last))
    assert optimisation_history(trials, LOSS, "title").axes[0].get_yscale() == scale


def test_each_trial_that_reported_has_a_curve_and_pruned_ones_have_an_end_mark():
    figure = intermediate_curves(TRIALS, LOSS, "title")
    curves = [line for line in figure.axes[0].lines if line.get_marker() in ("None", "o")]
    assert [points(line) for line in curves] == [
        [(1, 0.9), (2, 0.5)],
        [(1, 0.8), (2, 0.7)],
        [(1, 0.95), (2, 0.85)],
        [(1, 0.7)],
        [(1, 0.6), (2, 0.3)],
    ]
    ends = [line for line in figure.axes[0].lines if line not in curves]
    assert [points(line) for line in ends] == [[(2, 0.85)], [(1, 0.7)]]
    assert to_hex(curves[2].get_color()) == FAINT
    assert curves[2].get_linewidth() < curves[0].get_linewidth() < curves[4].get_linewidth()
    assert to_hex(curves[4].get_color()) == BEST
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("epoch", LOSS.name)


def test_the_legend_of_curves_counts_them():
    (legend,) = intermediate_curves(TRIALS, LOSS, "title").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "best: trial 3",
        "other completed (2)",
        "pruned (1)",
        "unfinished (1)",
    ]
    caption = intermediate_curves(TRIALS, LOSS, "title").get_supxlabel().replace("\n", " ")
    assert caption.endswith("Of 6 trials, 5 reported a value.")


def test_the_legend_shows_completed_curves_in_the_colour_of_one_of_them():
    figure = intermediate_curves(TRIALS[:4], LOSS, "title")
    shown = next(line for line in figure.legends[0].get_lines() if "completed" in line.get_label())
    drawn = {to_hex(line.get_color()) for line in figure.axes[0].lines}
    assert to_hex(shown.get_color()) in drawn - {BEST, FAINT}


def test_without_a_completed_trial_no_curve_is_emphasised():
    (legend,) = intermediate_curves(TRIALS[2:3], ACCURACY, "title").legends
    assert [text.get_text() for text in legend.get_texts()] == ["pruned (1)"]


@pytest.mark.parametrize(("direction", "darkest"), [("minimize", 0), ("maximize", 2)])
def test_the_better_a_value_the_darker_its_shade(direction, darkest):
    colours = shades(np.array([0.1, 0.5, 0.9]), direction)
    assert colours[:, :3].sum(axis=1).argmin() == darkest
    assert np.array_equal(shades(np.ones(3), direction)[0], shades(np.ones(3), direction)[2])
