"""Workers that are killed at random moments: no trial is lost, run twice, or left running.

``LATENTKIT_KILLS`` sets the number of kills; 200 take a few minutes.
"""

import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress

import pytest

from latentkit.config import build_config, choose_part
from latentkit.plugin import SearchRange
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import default_registry
from latentkit.runs.context import ImageCache
from latentkit.runs.folder import RunFolder
from latentkit.tune.study import Search, prepared
from latentkit.tune.study_folder import StudyFolder, StudyPlan

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("LATENTKIT_KILLS", "8"))
PRELOADED = [
    "latentkit.tune.study",
    "latentkit.builtins.models.autoencoder",
    "latentkit.builtins.datasets.digits",
    "latentkit.builtins.tuners.optuna_tuner",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
    "optuna.storages._rdb.models",
]


def begin(path, data, trials):
    registry = default_registry()
    options = {
        "model.channels": [4],
        "model.hidden": [8],
        "model.latent_dim": 2,
        "training.epochs": 4,
        "training.batch_size": 256,
        "threads": 1,
    }
    config = build_config({}, registry, overrides=options)
    tuner = {"name": "optuna", "startup_trials": 3}
    plan = StudyPlan(
        name="kills",
        config=config.as_dict(),
        space={
            "training.learning_rate": SearchRange(1e-3, 1e-2, log=True),
            "training.weight_decay": SearchRange(1e-4, 1e-1, log=True),
        },
        objectives=("loss",),
        tuner=choose_part(registry, "tuner", tuner).as_dict(),
        data_dir=str(data),
        trials=trials,
    )
    return StudyFolder.begin(path, prepared(plan, registry, ImageCache()))


def work(path):
    Search(StudyFolder.open(path), default_registry(), ignore).work()


def result_of(path):
    return Search(StudyFolder.open(path), default_registry(), ignore).result()


@pytest.fixture(scope="module")
def forks():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def kill_at_random(forks, path, workers, kills, seed):
    """Work with ``workers`` processes until the study is over, and kill one at random times."""
    rng = random.Random(seed)
    crew = []
    killed = 0
    end = time.monotonic() + 300 + 30 * kills
    while time.monotonic() < end:
        crew = [process for process in crew if process.is_alive()]
        if killed >= kills and not crew and result_is_whole(path):
            return killed
        while len(crew) < workers and not (killed >= kills and result_is_whole(path)):
            crew.append(forks.Process(target=work, args=(path,)))
            crew[-1].start()
        time.sleep(rng.uniform(0.05, 1.0))
        if killed < kills and crew:
            with suppress(ProcessLookupError):  # it ended a moment ago
                os.kill(rng.choice(crew).pid, signal.SIGKILL)
                killed += 1
    raise AssertionError(f"the study is not over after {killed} kills: {result_of(path)}")


def result_is_whole(path):
    study = StudyFolder.open(path)
    found = result_of(path).trials
    return sum(trial.finished for trial in found) >= study.plan.trials


def told(trial):
    return trial.state, trial.params, trial.values, trial.reports


@pytest.mark.parametrize("workers", [1, 2])
def test_every_trial_is_finished_exactly_once(workers, forks, tmp_path):
    kills = -(-KILLS // 2)
    trials = max(4, kills)
    study = begin(tmp_path / "s", tmp_path / "data", trials)
    assert kill_at_random(forks, study.path, workers, kills, seed=workers) == kills
    found = result_of(study.path).trials
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} <= {"complete", "pruned"}
    for trial in found:
        assert list(trial.reports) == list(range(1, len(trial.reports) + 1))
        if trial.state == "pruned":  # asha prunes after 1 and 3 epochs
            assert len(trial.reports) in {1, 3}
            continue
        run = RunFolder.open(study.run_of(trial.number))
        assert run.manifest.status == "finished"
        history = run.json("history.json")["epochs"]
        assert [record["epoch"] for record in history] == [1, 2, 3, 4]
        losses = [record["validation"]["loss"] for record in history]
        assert list(trial.reports.values()) == losses
        assert trial.values == (min(losses),)
    if workers == 1:  # a study with kills equals one without
        whole = begin(tmp_path / "whole", tmp_path / "data", trials)
        work(whole.path)
        expected = result_of(whole.path).trials
        assert list(map(told, found)) == list(map(told, expected))
