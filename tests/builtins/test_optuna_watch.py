import subprocess
import sys
import time

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from latentkit.builtins.tuners.optuna_storage import Storage
from latentkit.builtins.tuners.optuna_watch import WORKER, Pulse, Watch, is_gone, new_worker


@pytest.fixture
def storage(tmp_path):
    return Storage(f"sqlite:///{tmp_path}/study.db", patience=5.0)


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage.engine, study_name="s")


def test_this_process_is_there_and_one_that_ended_is_gone():
    here = new_worker()
    assert not is_gone(here)
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    assert is_gone({**here, "pid": int(ended.stdout)})
    assert is_gone(
        {**here, "started": here["started"] - 100}
    )  # the number is another process's now
    assert not is_gone({**here, "machine": "elsewhere", "pid": int(ended.stdout)})
    assert not is_gone(None)


def test_a_clock_that_is_set_ends_no_process(monkeypatch):
    here = new_worker()
    created, booted = psutil.Process.create_time, psutil.boot_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    assert not is_gone(here)


def test_a_trial_of_a_dead_process_waits_under_its_number(storage, study):
    trial = study.ask()
    trial.set_user_attr(WORKER, {**new_worker(), "started": 0.0})
    Watch(storage, study, heartbeat=60).sweep()
    assert study.trials[0].state is TrialState.WAITING
    assert study.ask().number == 0


def test_a_living_worker_keeps_its_trial(storage, study):
    study.ask().set_user_attr(WORKER, new_worker())
    watch = Watch(storage, study, heartbeat=0.01)
    for _ in range(3):
        watch.sweep()
    assert study.trials[0].state is TrialState.RUNNING


def test_a_silent_worker_loses_its_trial_and_one_that_beats_does_not(storage, study):
    elsewhere = {**new_worker(), "machine": "elsewhere"}
    silent, alive = study.ask(), study.ask()
    for trial in (silent, alive):
        trial.set_user_attr(WORKER, elsewhere)
    watch = Watch(storage, study, heartbeat=0.2)
    with Pulse(storage, alive._trial_id, 0.1):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            watch.sweep()
            time.sleep(0.1)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.WAITING, TrialState.RUNNING]


def test_silence_counts_from_when_the_storage_answers_again(storage, study):
    study.ask().set_user_attr(WORKER, {**new_worker(), "machine": "elsewhere"})
    watch = Watch(storage, study, heartbeat=0.05)
    watch.sweep()
    time.sleep(0.3)
    storage.lost_at = time.monotonic()
    watch.sweep()
    assert study.trials[0].state is TrialState.RUNNING
    time.sleep(0.3)
    watch.sweep()
    assert study.trials[0].state is TrialState.WAITING


def test_a_pulse_outlives_a_storage_that_fails(storage, study, monkeypatch):
    trial = study.ask()
    beats = []

    def fail(*arguments):
        beats.append(arguments)
        raise OSError("gone")

    monkeypatch.setattr(storage.engine, "set_trial_user_attr", fail)
    with Pulse(storage, trial._trial_id, 0.02):
        time.sleep(0.2)
    assert len(beats) > 2
