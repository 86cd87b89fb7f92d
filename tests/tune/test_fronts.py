import numpy as np
import pytest

from latentkit.plugin.studies import StudyResult, TrialRecord
from latentkit.tune.study_figures import Goal, pareto_front

GENERATOR = np.random.default_rng(0)


def study(*directions, n=40):
    trials = [
        TrialRecord(n, "complete", {}, tuple(values))
        for n, values in enumerate(GENERATOR.random((n, len(directions))) + 0.5)
    ]
    trials.append(TrialRecord(n, "failed", {}, error="why"))
    return StudyResult("study", directions, tuple(trials))


def figure_of(result):
    goals = [Goal(f"objective {n}", way, n) for n, way in enumerate(result.directions)]
    return pareto_front(result.trials, [t.number for t in result.front], goals, "title")


@pytest.mark.parametrize("x", ["minimize", "maximize"])
@pytest.mark.parametrize("y", ["minimize", "maximize"])
def test_the_edge_of_the_front_has_no_trial_beyond_it(x, y):
    result = study(x, y)
    figure = figure_of(result)
    axes = figure.axes[0]
    rest, front = (collection.get_offsets() for collection in axes.collections)
    assert sorted(front.tolist()) == sorted(list(trial.values) for trial in result.front)
    assert len(rest) + len(front) == 40
    (edge,) = axes.lines
    xs, ys = edge.get_data()
    post = edge.get_drawstyle() == "steps-post"
    for px, py in rest:
        right = int(np.searchsorted(xs, px))  # the edge above or below a point, if any
        place = right - 1 if post else right
        if 0 <= place < len(xs):
            assert (py >= ys[place]) if y == "minimize" else (py <= ys[place])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("objective 0", "objective 1")


def test_trials_of_the_front_are_numbered_and_no_number_hides_another():
    result = study("minimize", "minimize", n=200)
    figure = figure_of(result)
    texts = figure.axes[0].texts
    assert {text.get_text() for text in texts} == {str(t.number) for t in result.front}
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_three_objectives_are_drawn_by_pairs_without_an_edge():
    figure = figure_of(study("minimize", "maximize", "minimize"))
    assert [(axes.get_xlabel()[-1], axes.get_ylabel()[-1]) for axes in figure.axes] == [
        ("0", "1"),
        ("0", "2"),
        ("1", "2"),
    ]
    assert not any(axes.lines for axes in figure.axes)
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "objective 1: higher is better" in caption


def test_a_single_point_is_a_front():
    trials = (TrialRecord(0, "complete", {}, (1.0, 1.0)), TrialRecord(1, "pruned", {}))
    figure = figure_of(StudyResult("study", ("minimize", "minimize"), trials))
    assert [text.get_text() for text in figure.axes[0].texts] == ["0"]
