"""A study that is interrupted at each of its writes ends like an uninterrupted one."""

import multiprocessing
import os
import traceback

import pytest
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError

from latentkit.builtins.tuners import optuna_storage
from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_tuner import OptunaTuner
from latentkit.plugin import Budget, SearchRange, StudyTask

pytestmark = pytest.mark.slow

TRIALS = 14
LOST = OperationalError("commit", {}, Exception("server closed the connection"))
SPACE = {"x": SearchRange(-5.0, 5.0), "y": SearchRange(-5.0, 5.0)}
WRITES = (
    "create_new_trial",
    "set_trial_intermediate_value",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
)
READS = (
    "get_all_trials",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "_get_trials",
    "get_trial_id_from_study_id_trial_number",
)


def task_in(folder, name):
    return StudyTask(name, f"sqlite:///{folder}/{name}.db", SPACE, ("minimize",), 0)


def bowl(trial):
    value = trial.params["x"] ** 2 + (trial.params["y"] - 1) ** 2
    for epoch in range(1, 5):
        trial.report(epoch, value + 1 / epoch)
    return [value]


def work(task):
    # The heartbeat is so slow that no worker is found dead because of its silence.
    options = OptunaOptions(heartbeat=600, startup_trials=4, patience=60)
    return OptunaTuner(options).optimize(bowl, task, Budget(TRIALS))


def outcome(result):
    return [(t.number, t.state, t.params, t.values, t.reports) for t in result.trials]


def at_every(names, act):
    """Wrap methods; ``act`` gets the number of calls so far and the call to make."""
    count = 0

    def wrapped(method):
        def calls(*arguments, **named):
            nonlocal count
            count += 1
            return act(count, lambda: method(*arguments, **named))

        return calls

    return {name: wrapped(getattr(RDBStorage, name)) for name in names}


def work_and_die(task, writes):
    """Work until the given number of writes, then exit as if the process were killed."""

    def die(count, write):
        done = write()
        if count == writes:
            os._exit(9)
        return done

    for name, method in at_every(WRITES, die).items():
        setattr(RDBStorage, name, method)
    work(task)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    result = work(task_in(tmp_path_factory.mktemp("whole"), "s"))
    assert {"complete", "pruned"} == {trial.state for trial in result.trials}
    return outcome(result)


def test_workers_killed_between_two_writes_do_not_change_the_result(whole, tmp_path):
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["latentkit.builtins.tuners.optuna_tuner", "sqlalchemy.orm"])
    task = task_in(tmp_path, "s")
    killed = 0
    while True:
        # A new worker makes five writes before the first one that advances the study.
        worker = forks.Process(target=work_and_die, args=(task, 6 + killed % 7))
        worker.start()
        worker.join()
        if worker.exitcode == 0:
            break
        assert worker.exitcode == 9
        killed += 1
    assert killed > 20
    assert outcome(OptunaTuner(OptunaOptions()).load(task)) == whole


@pytest.mark.parametrize("period", [7, 8, 11])  # claiming a trial again takes five writes
@pytest.mark.parametrize("written", [False, True])
def test_a_storage_that_is_lost_repeatedly_does_not_change_the_result(
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
        raise LOST

    monkeypatch.setattr(optuna_storage, "_FIRST_PAUSE", 0.001)
    for name, method in at_every(WRITES, fail_at_times).items():
        monkeypatch.setattr(RDBStorage, name, method)
    assert outcome(work(task_in(tmp_path, "s"))) == whole
    assert lost > 5


def test_a_storage_that_is_lost_at_any_single_read_does_not_change_the_result(
    whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(optuna_storage, "_FIRST_PAUSE", 0.001)
    lost = set()

    def fail_once(count, read):
        reader = "".join(traceback.format_stack(limit=12))
        if reader not in lost:
            lost.add(reader)
            raise LOST
        return read()

    for name, method in at_every(READS, fail_once).items():
        monkeypatch.setattr(RDBStorage, name, method)
    assert outcome(work(task_in(tmp_path, "s"))) == whole
    assert len(lost) > 10
