"""A study that is broken off at its every write ends as one that is not."""

import multiprocessing
import os

import pytest
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError

from latentkit.builtins.tuners import optuna_storage
from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_tuner import OptunaTuner
from latentkit.plugin import Budget, SearchRange, StudyTask

TRIALS = 14
SPACE = {"x": SearchRange(-5.0, 5.0), "y": SearchRange(-5.0, 5.0)}
WRITES = (
    "create_new_trial",
    "set_trial_intermediate_value",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
)


def task_in(folder, name):
    return StudyTask(name, f"sqlite:///{folder}/{name}.db", SPACE, ("minimize",), 0)


def bowl(trial):
    value = trial.params["x"] ** 2 + (trial.params["y"] - 1) ** 2
    for epoch in range(1, 5):
        trial.report(epoch, value + 1 / epoch)
    return [value]


def work(task):
    # The heartbeat is so slow that nothing is found by its silence.
    options = OptunaOptions(heartbeat=600, startup_trials=4, patience=60)
    return OptunaTuner(options).optimize(bowl, task, Budget(TRIALS))


def outcome(result):
    return [(t.number, t.state, t.params, t.values, t.reports) for t in result.trials]


def at_every_write(act):
    """Wrap all that writes; ``act`` is given how many there were, and what would write."""
    count = 0

    def wrapped(write):
        def writes(*arguments, **named):
            nonlocal count
            count += 1
            return act(count, lambda: write(*arguments, **named))

        return writes

    return {name: wrapped(getattr(RDBStorage, name)) for name in WRITES}


def work_and_die(task, writes):
    """Work in a process that ends like one that is killed, right after so many writes."""

    def die(count, write):
        done = write()
        if count == writes:
            os._exit(9)
        return done

    for name, method in at_every_write(die).items():
        setattr(RDBStorage, name, method)
    work(task)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    result = work(task_in(tmp_path_factory.mktemp("whole"), "s"))
    assert {"complete", "pruned"} == {trial.state for trial in result.trials}
    return outcome(result)


def test_workers_that_are_killed_between_two_writes_leave_no_trace(whole, tmp_path):
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["latentkit.builtins.tuners.optuna_tuner", "sqlalchemy.orm"])
    task = task_in(tmp_path, "s")
    killed = 0
    while True:
        # A new worker makes five before it comes to one that leads on.
        worker = forks.Process(target=work_and_die, args=(task, 6 + killed % 7))
        worker.start()
        worker.join()
        if worker.exitcode == 0:
            break
        assert worker.exitcode == 9
        killed += 1
    assert killed > 20
    assert outcome(OptunaTuner(OptunaOptions()).load(task)) == whole


@pytest.mark.parametrize("period", [7, 8, 11])  # a trial that is claimed again takes five writes
@pytest.mark.parametrize("written", [False, True])
def test_a_storage_that_is_lost_again_and_again_leaves_no_trace(
    written, period, whole, tmp_path, monkeypatch
):
    lost = 0

    def fail_at_times(count, write):
        nonlocal lost
        if count % period:
            return write()
        lost += 1
        if written:
            write()
        raise OperationalError("commit", {}, Exception("server closed the connection"))

    monkeypatch.setattr(optuna_storage, "_FIRST_PAUSE", 0.001)
    for name, method in at_every_write(fail_at_times).items():
        monkeypatch.setattr(RDBStorage, name, method)
    assert outcome(work(task_in(tmp_path, "s"))) == whole
    assert lost > 5
