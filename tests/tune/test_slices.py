import numpy as np
import pytest

from latentkit.plugin.options import SearchChoice, SearchRange
from latentkit.plugin.studies import TrialRecord
from latentkit.tune.parameter_figures import importance_bars, parameter_slices
from latentkit.tune.study_figures import Goal

SPACE = {
    "training.learning_rate": SearchRange(1e-4, 1e-2, log=True),
    "model.dropout": SearchRange(0.0, 0.5),
    "model.activation": SearchChoice(("relu", "gelu")),
}


def trial(number, state, rate, dropout, activation, *values):
    return TrialRecord(
        number, state, dict(zip(SPACE, (rate, dropout, activation), strict=True)), values
    )


TRIALS = (
    trial(0, "complete", 1e-3, 0.1, "relu", 0.5),
    trial(1, "pruned", 1e-4, 0.2, "gelu"),
    trial(7, "complete", 1e-2, 0.3, "gelu", 0.02),
)


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.collections}


@pytest.mark.parametrize(("direction", "star"), [("minimize", 0.02), ("maximize", 0.5)])
def test_a_panel_for_each_parameter_shows_completed_trials(direction, star):
    figure = parameter_slices(TRIALS, SPACE, Goal("loss", direction), "title")
    shown = panels(figure)
    assert list(shown)[:3] == list(SPACE)
    rate, dropout, activation = list(shown.values())[:3]
    assert rate.collections[0].get_offsets().tolist() == [[1e-3, 0.5], [1e-2, 0.02]]
    assert activation.collections[0].get_offsets()[:, 0].tolist() == [0, 1]
    assert [axes.get_xscale() for axes in (rate, dropout)] == ["log", "linear"]
    assert [text.get_text() for text in activation.get_xticklabels()] == ["relu", "gelu"]
    assert rate.get_ylabel() == "loss"
    assert rate.get_yscale() == "log"  # values span more than a factor of ten
    for axes in (rate, dropout, activation):
        assert axes.collections[0].get_array().tolist() == [0, 7]  # colours: trial numbers
        assert axes.lines[0].get_ydata() == [star]
    assert figure.get_supxlabel().startswith("2 completed trials")


def test_trials_can_be_compared_after_an_epoch_that_all_of_them_reached():
    trials = [
        TrialRecord(0, "complete", TRIALS[0].params, (0.1,), reports={1: 0.5, 2: 0.1}),
        TrialRecord(1, "pruned", TRIALS[1].params, reports={1: 0.4}),
        TrialRecord(2, "failed", TRIALS[2].params, reports={1: 0.3}),
    ]
    figure = parameter_slices(trials, SPACE, Goal("loss after epoch 1", epoch=1), "title")
    axes = panels(figure)["training.learning_rate"]
    assert axes.collections[0].get_offsets().tolist() == [[1e-3, 0.5], [1e-4, 0.4]]
    assert axes.lines[0].get_ydata() == [0.5]  # of the trial that ended best, not started best
    assert figure.get_supxlabel().startswith("2 trials after epoch 1;")


def test_many_parameters_take_several_rows_of_equal_heights():
    space = {f"model.option_{number}": SearchRange(0.0, 1.0) for number in range(5)}
    trials = [
        TrialRecord(n, "complete", dict.fromkeys(space, n / 3), (float(n),)) for n in range(3)
    ]
    figure = parameter_slices(trials, space, Goal("loss"), "title")
    shown = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in shown] == list(space)
    assert len({axes.get_subplotspec().rowspan.start for axes in shown}) == 2
    assert len({axes.get_ylim() for axes in shown}) == 1


def test_importances_are_sorted_bars_with_their_share():
    axes = importance_bars({"a": 0.1, "model.b": 0.65, "c": 0.25}, "title", "a caption.").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.65, 0.25, 0.1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["model.b", "c", "a"]
    assert [text.get_text().strip() for text in axes.texts] == ["65.0%", "25.0%", "10.0%"]
    assert np.diff(axes.get_ylim()) < 0  # the first is on top
