import pytest

from latentkit.plugin import Budget, SearchChoice, SearchRange, TrialPruned
from latentkit.registry.catalogue import default_registry

SPACE = {
    "x": SearchRange(-5.0, 5.0),
    "n": SearchRange(1, 64, log=True),
    "kind": SearchChoice(("a", "b")),
}


@pytest.fixture
def study(tmp_path):
    part = default_registry().get("tuner", "optuna")

    def optimize(objective, trials, seed=0, **options):
        return part.target()(part.options(options)).optimize(
            objective,
            space=SPACE,
            budget=Budget(trials),
            storage=f"sqlite:///{tmp_path}/study.db",
            study=f"s{seed}",
            seed=seed,
        )

    return optimize


def bowl(trial):
    return (trial.params["x"] - 1) ** 2


def test_the_best_trial_is_near_the_minimum_and_inside_the_space(study):
    result = study(bowl, 40)
    assert result.best.value < 0.1
    for trial in result.trials:
        assert -5 <= trial.params["x"] <= 5
        assert trial.params["n"] in range(1, 65)
        assert trial.params["kind"] in ("a", "b")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_continued_study_proposes_what_an_unbroken_one_does(study, tmp_path, sampler):
    study(bowl, 4, seed=1, sampler=sampler)
    broken = study(bowl, 9, seed=1, sampler=sampler)
    (tmp_path / "study.db").unlink()
    whole = study(bowl, 9, seed=1, sampler=sampler)
    assert [t.params for t in broken.trials] == [t.params for t in whole.trials]


def test_a_failing_trial_is_recorded_and_the_study_goes_on(study):
    def objective(trial):
        if trial.number == 1:
            raise RuntimeError("out of luck")
        return bowl(trial)

    result = study(objective, 3)
    assert [trial.state for trial in result.trials] == ["complete", "failed", "complete"]
    assert result.trials[1].value is None


def test_hopeless_trials_are_given_up(study):
    def objective(trial):
        value = 1.0 if trial.number < 6 else 100.0
        for epoch in range(1, 6):
            trial.report(epoch, value)
        return value

    states = [trial.state for trial in study(objective, 8).trials]
    assert states == ["complete"] * 6 + ["pruned"] * 2
    unpruned = study(objective, 8, seed=2, pruner="none")
    assert all(trial.state == "complete" for trial in unpruned.trials)


def test_a_trial_that_gives_itself_up_is_pruned(study):
    def objective(trial):
        raise TrialPruned("enough")

    assert [trial.state for trial in study(objective, 2).trials] == ["pruned", "pruned"]


def test_an_interrupt_ends_the_study_and_is_kept(study):
    def objective(trial):
        if trial.number == 1:
            raise KeyboardInterrupt
        return bowl(trial)

    with pytest.raises(KeyboardInterrupt):
        study(objective, 5)
    assert len(study(bowl, 3).trials) == 3
