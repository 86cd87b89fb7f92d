import pytest

from latentkit.errors import UserError
from latentkit.tune.goals import GOALS, choose_goals


def test_the_default_goal_minimises_the_validation_loss():
    (goal,) = choose_goals([])
    assert (goal.name, goal.direction, goal.term) == ("loss", "minimize", "loss")


def test_goals_know_which_way_is_better():
    better = {goal.name: goal.direction for goal in choose_goals(["reconstruction", "knn", "kl"])}
    assert better == {"mse": "minimize", "knn": "maximize", "kl": "minimize"}


def test_any_term_of_the_loss_can_be_a_goal():
    (goal,) = choose_goals(["validation.nll"])
    assert (goal.term, goal.direction) == ("nll", "minimize")


def test_unknown_and_repeated_goals_are_refused():
    with pytest.raises(UserError, match=r"no objective 'lineer' \(did you mean 'linear'\?\)"):
        choose_goals(["lineer"])
    with pytest.raises(UserError, match="'mse' is given twice"):
        choose_goals(["mse", "reconstruction"])


def test_every_measured_goal_has_a_measure():
    from latentkit.tune.trial import _MEASURES

    assert set(GOALS) - {"loss"} == set(_MEASURES)
