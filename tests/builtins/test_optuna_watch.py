import subprocess
import sys
import threading
from types import SimpleNamespace

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from latentkit.builtins.tuners import optuna_watch
from latentkit.builtins.tuners.optuna_storage import Storage
from latentkit.builtins.tuners.optuna_watch import (
    BEAT,
    WORKER,
    Pulse,
    Watch,
    is_gone,
    new_worker,
)


@pytest.fixture
def storage(tmp_path):
    return Storage(f"sqlite:///{tmp_path}/study.db", patience=5.0)


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage.engine, study_name="s")


@pytest.fixture
def clock(monkeypatch):
    """Return the watcher's clock, which only the test advances."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(optuna_watch, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_this_process_is_alive_and_one_that_ended_is_gone():
    here = new_worker()
    assert not is_gone(here)
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    assert is_gone({**here, "pid": int(ended.stdout)})
    assert is_gone(
        {**here, "started": here["started"] - 100}
    )  # another process now has this number
    assert not is_gone({**here, "machine": "elsewhere", "pid": int(ended.stdout)})
    assert not is_gone(None)


def test_setting_the_system_clock_does_not_make_a_process_look_dead(monkeypatch):
    here = new_worker()
    created, booted = psutil.Process.create_time, psutil.boot_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    assert not is_gone(here)


def test_a_trial_of_a_dead_process_is_queued_again_with_its_number(storage, study):
    trial = study.ask()
    trial.set_user_attr(WORKER, {**new_worker(), "started": 0.0})
    Watch(storage, study, heartbeat=60).sweep()
    assert study.trials[0].state is TrialState.WAITING
    assert study.ask().number == 0


def test_a_living_worker_keeps_its_trial(storage, study, clock):
    study.ask().set_user_attr(WORKER, new_worker())
    watch = Watch(storage, study, heartbeat=60)
    for _ in range(3):
        watch.sweep()
        clock.seconds += 60
    assert study.trials[0].state is TrialState.RUNNING


def test_a_silent_worker_loses_its_trial_and_one_with_a_heartbeat_keeps_it(storage, study, clock):
    elsewhere = {**new_worker(), "machine": "elsewhere"}
    silent, alive = study.ask(), study.ask()
    for trial in (silent, alive):
        trial.set_user_attr(WORKER, elsewhere)
    watch = Watch(storage, study, heartbeat=60)
    for beat in range(6):
        watch.sweep()
        clock.seconds += 60
        alive.set_user_attr(BEAT, beat)
        states = [trial.state for trial in study.trials]
        assert states[1] is TrialState.RUNNING
        assert states[0] is (TrialState.WAITING if beat == 5 else TrialState.RUNNING)


def test_silence_is_counted_from_the_time_when_the_storage_answers_again(storage, study, clock):
    study.ask().set_user_attr(WORKER, {**new_worker(), "machine": "elsewhere"})
    watch = Watch(storage, study, heartbeat=60)
    watch.sweep()
    clock.seconds += 300
    storage.lost_at = clock.seconds
    watch.sweep()
    assert study.trials[0].state is TrialState.RUNNING
    clock.seconds += 300
    watch.sweep()
    assert study.trials[0].state is TrialState.WAITING


def test_a_pulse_writes_heartbeats_until_its_block_ends(storage, study, monkeypatch):
    trial = study.ask()
    signs, third = [], threading.Event()
    write = storage.engine.set_trial_user_attr

    def note(number, key, value):
        write(number, key, value)
        signs.append((key, value))
        if len(signs) == 3:
            third.set()

    monkeypatch.setattr(storage.engine, "set_trial_user_attr", note)
    with Pulse(storage, trial._trial_id, 0.01):
        assert third.wait(60)
    assert signs[:3] == [(BEAT, 1), (BEAT, 2), (BEAT, 3)]
    assert study.trials[0].user_attrs[BEAT] == len(signs)


def test_a_pulse_outlives_a_storage_that_fails(storage, study, monkeypatch):
    trial = study.ask()
    beats, third = [], threading.Event()

    def fail(*arguments):
        beats.append(arguments)
        if len(beats) == 3:
            third.set()
        raise OSError("gone")

    monkeypatch.setattr(storage.engine, "set_trial_user_attr", fail)
    with Pulse(storage, trial._trial_id, 0.01):
        assert third.wait(60)
