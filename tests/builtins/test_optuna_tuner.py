from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_tuner import OptunaTuner
from latentkit.errors import BrokenEnvironmentError, StorageError, UserError
from latentkit.plugin import Budget, SearchChoice, SearchRange, StudyTask
from latentkit.testing.tuners import TUNER_CHECKS

pytestmark = pytest.mark.early

SPACE = {
    "x": SearchRange(-5.0, 5.0),
    "n": SearchRange(1, 64, log=True),
    "kind": SearchChoice(("a", "b")),
}


def make(**options):
    return OptunaTuner(OptunaOptions(**options))


@pytest.fixture
def task(tmp_path):
    return StudyTask("s", f"sqlite:///{tmp_path}/study.db", SPACE, ("minimize",), 0)


def bowl(trial):
    return [(trial.params["x"] - 1) ** 2]


@pytest.mark.parametrize("check", TUNER_CHECKS, ids=lambda check: check.__name__)
def test_the_tuner_keeps_the_contract(check, tmp_path):
    check(make, f"sqlite:///{tmp_path}/study.db")


@pytest.mark.parametrize("sampler", ["random", "gp"])
def test_other_samplers_propose_the_same_after_a_pause(sampler, task, tmp_path):
    tuner = make(sampler=sampler, startup_trials=4)
    tuner.optimize(bowl, task, Budget(5))
    broken = tuner.optimize(bowl, task, Budget(8))
    whole = tuner.optimize(bowl, replace(task, storage=f"sqlite:///{tmp_path}/other.db"), Budget(8))
    assert [trial.params for trial in broken.trials] == [trial.params for trial in whole.trials]


def test_the_best_trial_is_near_the_minimum(task):
    result = make().optimize(bowl, task, Budget(40))
    assert result.best.values[0] < 0.1


def test_the_first_trial_has_the_given_parameters_and_draws_the_rest(task):
    space = {**SPACE, "widths": SearchChoice(((256,), (512, 128)))}
    first = {"x": 4.5, "widths": (512, 128)}
    asked = replace(task, space=space, first=first)
    trials = make().optimize(bowl, asked, Budget(3)).trials
    assert {name: trials[0].params[name] for name in first} == first
    assert set(trials[0].params) == set(space)
    assert trials[1].params["x"] != 4.5


def test_a_study_made_by_another_program_is_not_taken_over(task):
    import optuna

    theirs = optuna.create_study(storage=task.storage, study_name=task.name)
    theirs.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(UserError, match="already exists with other settings"):
        make().optimize(bowl, task, Budget(1))


def steps(trial):
    """Report the trial's number, so that each trial is worse than the one before."""
    value = float(trial.number)
    for epoch in range(1, 10):
        trial.report(epoch, value)
    return [value]


@pytest.mark.parametrize(
    ("pruner", "epochs"),
    [
        # The best third continues after 1, 3 and 9 epochs. If each is worse, only the first does.
        ("asha", [9, 1, 1, 1, 1, 1, 1, 1]),
        ("none", [9] * 8),
        # The first four are never compared.
        ("median", [9, 9, 9, 9, 1, 1, 1, 1]),
    ],
)
def test_a_pruner_stops_trials_that_fall_behind(pruner, epochs, task):
    result = make(pruner=pruner, startup_trials=4).optimize(steps, task, Budget(8))
    assert [len(trial.reports) for trial in result.trials] == epochs
    states = ["complete" if count == 9 else "pruned" for count in epochs]
    assert [trial.state for trial in result.trials] == states


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_every_trial_gets_the_minimum_number_of_epochs(pruner, task):
    tuner = make(pruner=pruner, startup_trials=4, min_epochs=3)
    result = tuner.optimize(steps, task, Budget(8))
    assert min(len(trial.reports) for trial in result.trials) == 3


def test_hyperband_prunes_some_and_not_all(task):
    result = make(pruner="hyperband").optimize(steps, task, Budget(12))
    assert {"complete", "pruned"} == {trial.state for trial in result.trials}


def test_nothing_is_pruned_for_several_objectives(task):
    def both(trial):
        trial.report(1, 100.0)
        return [trial.params["x"] ** 2, -trial.params["x"]]

    two = replace(task, directions=("minimize", "minimize"))
    result = make().optimize(both, two, Budget(6))
    assert [trial.state for trial in result.trials] == ["complete"] * 6


def test_the_parameter_that_matters_has_the_highest_importance(task):
    tuner = make(sampler="random", pruner="none")
    assert tuner.importances(task) == {}
    tuner.optimize(bowl, task, Budget(3))
    assert tuner.importances(task) == {}  # too few trials
    tuner.optimize(bowl, task, Budget(40))
    shares = tuner.importances(task)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == "x"
    assert shares["x"] > 0.8


def test_importance_can_use_values_reported_at_an_early_epoch(task):
    def act(trial):
        trial.report(1, (trial.params["x"] - 1) ** 2)
        trial.report(2, float(trial.number))
        return [0.0]

    tuner = make(sampler="random")
    tuner.optimize(act, task, Budget(40))
    assert tuner.importances(task) == {}  # almost no trial was completed
    shares = tuner.importances(task, epoch=1)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == "x"
    assert tuner.importances(task, epoch=3) == {}


def test_cma_es_reports_what_it_needs(task):
    with pytest.raises(UserError, match="supports one objective only"):
        make(sampler="cma-es").optimize(
            bowl, replace(task, directions=("minimize", "minimize")), Budget(1)
        )
    with pytest.raises(BrokenEnvironmentError, match="pip install cmaes"):
        make(sampler="cma-es").optimize(bowl, task, Budget(1))


def test_an_unreachable_storage_is_reported_without_its_password(task, tmp_path):
    unreachable = "postgresql+psycopg2x://me:secret@localhost:1/db"
    with pytest.raises(UserError, match="me@localhost") as refused:
        make().optimize(bowl, replace(task, storage=unreachable), Budget(1))
    assert "secret" not in str(refused.value)
    missing = f"sqlite:///{tmp_path}/missing/s.db"
    with pytest.raises(StorageError, match="unable to open database file"):
        make().optimize(bowl, replace(task, storage=missing), Budget(1))
    with pytest.raises(UserError, match="not a URL that SQLAlchemy can read"):
        make().optimize(bowl, replace(task, storage="hello"), Budget(1))


def test_loading_a_missing_study_creates_no_file(task, tmp_path):
    assert make().load(task) is None
    assert list(tmp_path.iterdir()) == []


def test_the_tuner_waits_for_a_lost_storage(task, monkeypatch):
    from sqlalchemy.exc import OperationalError

    from latentkit.builtins.tuners.optuna_storage import Storage

    storage = Storage(task.storage, patience=60.0)
    answers = iter([OperationalError("select", {}, Exception("server closed the connection"))] * 2)

    def call():
        for error in answers:
            raise error
        return "there again"

    assert storage.patiently(call) == "there again"
    full = OperationalError("insert", {}, Exception("database or disk is full"))
    with pytest.raises(StorageError, match="disk is full"):
        storage.patiently(partial(_raise, full))
    with pytest.raises(StorageError, match="server closed"):
        Storage(task.storage, patience=0.0).patiently(
            partial(_raise, OperationalError("select", {}, Exception("server closed")))
        )


def test_a_trial_that_another_worker_ended_keeps_that_workers_result(task):
    import optuna

    def taken_and_ended(trial):
        study = optuna.load_study(study_name=task.name, storage=task.storage)
        study.tell(trial.number, 7.0)
        trial.report(1, 1.0)
        trial.note("epochs", 1)
        if trial.number:
            raise RuntimeError("too late")
        return [1.0]

    result = make().optimize(taken_and_ended, task, Budget(2))
    assert [(t.state, t.values, t.notes) for t in result.trials] == [("complete", (7.0,), {})] * 2


def test_a_trial_is_put_back_when_the_disk_is_full(task):
    def act(trial):
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="disk is full"):
        make().optimize(act, task, Budget(2))
    assert [trial.state for trial in make().load(task).trials] == ["waiting"]


def test_an_interrupt_passes_through_a_lost_storage(task, monkeypatch):
    from latentkit.builtins.tuners.optuna_watch import Watch

    def act(trial):
        monkeypatch.setattr(Watch, "put_back", lambda *_: _raise(OSError("gone")))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().optimize(act, task, Budget(2))


def test_no_url_shows_a_password_of_its_query(task):
    url = "postgresql+psycopg2x://localhost:1/db?user=me&password=secret"
    with pytest.raises(UserError, match="user=me") as refused:
        make().optimize(bowl, replace(task, storage=url), Budget(1))
    assert "secret" not in str(refused.value)
    with pytest.raises(UserError, match="not a URL that SQLAlchemy can read"):
        make().load(replace(task, storage="postgresql://localhost:port/db"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no list of open files")
def test_loading_a_study_leaves_no_connection_open(task, tmp_path):
    make().optimize(bowl, task, Budget(1))
    before = _open_files(tmp_path)
    for _ in range(3):
        make().load(task)
    assert _open_files(tmp_path) <= before


def _open_files(folder):
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(descriptor.readlink()))
    return sum(link.startswith(str(folder)) for link in links)


def _raise(error):
    raise error
