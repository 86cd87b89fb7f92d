"""Workers that die: only their own trials are run again."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import threading
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip(
    "latentkit_gridsearch", reason="pip install ./plugins/latentkit-gridsearch to test it"
)

from latentkit.plugin import Budget
from latentkit_gridsearch.owners import Owner, since_boot

TRIALS, KILLS = 120, 15


@pytest.fixture
def workers(monkeypatch):
    """Return the module of the workers, which the worker processes can import too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import workers

    return workers


@pytest.mark.parametrize("name", ["grid", "random"])
def test_killed_workers_lose_no_trial_and_run_none_twice(name, workers, tmp_path):
    path, released, generator = tmp_path / "s.db", tmp_path / "released", random.Random(0)
    # Forked processes have everything imported already, so most kills hit a running trial.
    context = multiprocessing.get_context("fork")

    def start():
        process = context.Process(target=workers.work, args=(name, path, TRIALS, released))
        process.start()
        return process

    running, killed = [start(), start()], set()
    while len(killed) < KILLS:
        time.sleep(generator.uniform(0.01, 0.2))
        victim = running.pop(generator.randrange(2))
        assert victim.is_alive()
        victim.kill()
        victim.join()
        killed.add(victim.pid)
        running.append(start())
    released.touch()
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    diary = [tuple(map(int, line.split())) for line in path.with_suffix(".diary").open()]
    last = dict(diary)
    again = {pid for number, pid in diary if pid != last[number]}
    assert again
    assert again <= killed
    trials = workers.tuner(name).load(workers.task(path)).trials
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert {trial.state for trial in trials} == {"complete"}
    undisturbed = workers.tuner(name).optimize(
        lambda trial: (0.0,), workers.task(tmp_path / "other.db"), Budget(trials=TRIALS)
    )
    assert [trial.params for trial in trials] == [trial.params for trial in undisturbed.trials]
    assert all(trial.notes == {"begun": True} for trial in trials)
    assert all(dict(trial.reports) == {1: trial.params["x"]} for trial in trials)


def test_a_worker_waits_for_the_last_trial_of_another_and_takes_it_over(workers, tmp_path):
    path = tmp_path / "s.db"
    context = multiprocessing.get_context("fork")
    begun = context.Event()

    def hang(trial):
        begun.set()
        time.sleep(600)

    other = context.Process(
        target=lambda: workers.tuner("random").optimize(hang, workers.task(path), Budget(trials=1))
    )
    other.start()
    assert begun.wait(60)
    (trial,) = workers.tuner("random").load(workers.task(path)).trials
    assert trial.state == "running"
    started = time.monotonic()
    threading.Timer(1.0, other.kill).start()
    workers.work("random", path, 1)
    assert time.monotonic() - started >= 1
    (trial,) = workers.tuner("random").load(workers.task(path)).trials
    assert trial.state == "complete"
    other.join()


def test_a_worker_stops_when_its_time_is_over_while_another_works(workers, tmp_path):
    path = tmp_path / "s.db"

    def outer(trial):
        inner = workers.tuner("random").optimize(
            workers.objective, workers.task(path), Budget(trials=1, seconds=0.3)
        )
        assert [trial.state for trial in inner.trials] == ["running"]
        return (0.0,)

    result = workers.tuner("random").optimize(outer, workers.task(path), Budget(trials=1))
    assert [trial.error for trial in result.trials] == [""]


@pytest.mark.parametrize(("silence", "state"), [(10, "running"), (1000, "waiting")])
def test_a_worker_of_another_machine_counts_as_alive_while_its_heartbeat_is_recent(
    silence, state, workers, tmp_path
):
    path = tmp_path / "s.db"
    workers.work("random", path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE gridsearch_trials SET state = 'running', host = 'elsewhere', beat = ?",
            (time.time() - silence,),
        )
    connection.close()
    (trial,) = workers.tuner("random").load(workers.task(path)).trials
    assert trial.state == state


def test_a_worker_sends_heartbeats_during_a_long_trial(workers, tmp_path):
    path = tmp_path / "s.db"
    from latentkit_gridsearch.options import RandomOptions
    from latentkit_gridsearch.tuner import build_random

    def heard():
        connection = sqlite3.connect(path)
        (beat,) = connection.execute("SELECT beat FROM gridsearch_trials").fetchone()
        connection.close()
        return beat

    def objective(trial):
        first, end = heard(), time.monotonic() + 60
        while heard() == first:
            assert time.monotonic() < end, "nothing is heard of a worker that runs"
            time.sleep(0.01)
        return (0.0,)

    result = build_random(RandomOptions(grace=0.4)).optimize(
        objective, workers.task(path), Budget(trials=1)
    )
    assert [trial.error for trial in result.trials] == [""]


def test_process_and_token_identify_the_owner_of_a_trial():
    owner = Owner()
    assert not owner.alive(silence=0, grace=100)
    owner.begin()
    assert owner.alive(silence=1e9, grace=100)
    owner.end()
    me = psutil.Process(os.getppid())
    parent = Owner(pid=me.pid, created=since_boot(me))
    assert parent.alive(silence=1e9, grace=100)
    reused = Owner(pid=me.pid, created=since_boot(me) - 1000)
    assert reused.alive(silence=1, grace=100)
    assert not reused.alive(silence=101, grace=100)
    assert not Owner(pid=2**22 + 1).alive(silence=0, grace=100)
