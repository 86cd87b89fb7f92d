"""Where records are stored, and the errors if they cannot be stored."""

from __future__ import annotations

import multiprocessing
import resource
import sqlite3
import threading
import time

import pytest

pytest.importorskip(
    "latentkit_gridsearch", reason="pip install ./plugins/latentkit-gridsearch to test it"
)

from latentkit.errors import DataError, StorageError, UserError
from latentkit.plugin import Budget, SearchRange, StudyTask
from latentkit_gridsearch.database import Database
from latentkit_gridsearch.options import GridOptions, RandomOptions
from latentkit_gridsearch.tuner import build_grid, build_random

SPACE = {"x": SearchRange(0.0, 1.0)}


def task(storage, name="s"):
    return StudyTask(name, storage, SPACE, ("minimize",), seed=0)


def run(storage, trials=2, objective=lambda trial: (0.0,), name="s"):
    tuner = build_random(RandomOptions())
    return tuner.optimize(objective, task(storage, name), Budget(trials=trials))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/db",
        "postgresql+psycopg://me:hunter2@host/db",
        "mysql://me:hunter2@host",
        "me:hunter2@host",
        "study.db",
        "",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a.db?key=hunter2",
        "sqlite://me:hunter2@host/a.db",
    ],
)
def test_an_unsupported_storage_is_refused_without_printing_its_password(
    url, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for work in (run, lambda url: build_random(RandomOptions()).load(task(url))):
        with pytest.raises(UserError, match="sqlite:///FILE") as refused:
            work(url)
        assert "hunter2" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_relative_path_is_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("sqlite:///a study #1%.db")
    assert [path.name for path in tmp_path.iterdir()] == ["a study #1%.db"]


def test_loading_creates_no_file(tmp_path):
    assert build_random(RandomOptions()).load(task(f"sqlite:///{tmp_path}/s.db")) is None
    assert not list(tmp_path.iterdir())


def test_a_trial_without_its_images_waits_and_the_error_is_raised(tmp_path):
    def objective(trial):
        raise DataError("images.npz is missing")

    storage = f"sqlite:///{tmp_path}/s.db"
    with pytest.raises(DataError):
        run(storage, objective=objective)
    (trial,) = build_random(RandomOptions()).load(task(storage)).trials
    assert trial.state == "waiting"


def test_a_study_that_is_read_cannot_be_written(tmp_path):
    run(f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(StorageError, match="cannot be written"):
        Database(tmp_path / "s.db").read(lambda connection: connection.execute("CREATE TABLE t(x)"))


def test_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"nowhere/s\.db: it cannot be opened"):
        run(f"sqlite:///{tmp_path}/nowhere/s.db")


def test_a_file_that_is_not_a_database_is_a_storage_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no database " * 100)
    storage = f"sqlite:///{tmp_path}/notes.txt"
    for work in (run, lambda url: build_random(RandomOptions()).load(task(url))):
        with pytest.raises(StorageError, match="it is not an SQLite file"):
            work(storage)


def test_a_full_disk_is_a_storage_error_and_the_trial_stays_waiting(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(trial):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
        trial.note("long", "x" * 2**17)
        return (0.0,)

    try:
        with pytest.raises(StorageError, match="disk"):
            run(storage, objective=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (trial,) = build_random(RandomOptions()).load(task(storage)).trials
    assert trial.state == "waiting"
    assert [trial.state for trial in run(storage).trials] == ["complete"] * 2


def test_a_database_of_another_program_can_be_shared(tmp_path):
    with sqlite3.connect(tmp_path / "s.db") as other:
        other.execute("CREATE TABLE studies (study_id INTEGER)")
    assert build_random(RandomOptions()).load(task(f"sqlite:///{tmp_path}/s.db")) is None
    assert len(run(f"sqlite:///{tmp_path}/s.db").trials) == 2


def test_a_locked_file_is_used_once_it_is_free(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    run(storage, trials=1)
    context = multiprocessing.get_context("spawn")
    held, freed = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path / "s.db"), held, freed))
    other.start()
    assert held.wait(60)
    started = time.monotonic()
    threading.Timer(1.0, freed.set).start()
    assert len(run(storage).trials) == 2
    assert time.monotonic() - started >= 1
    other.join()


def hold(path, held, freed):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    held.set()
    freed.wait(60)
    connection.execute("COMMIT")
    connection.close()


def test_a_study_is_not_resumed_by_another_tuner(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    run(storage)
    with pytest.raises(UserError, match="study 's' was started with random parameters, not with a"):
        build_grid(GridOptions()).optimize(lambda trial: (0.0,), task(storage), Budget(trials=3))
