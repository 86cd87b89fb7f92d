"""A stored study is shown without writing to its database, whoever made it."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_tuner import OptunaTuner
from latentkit.errors import IntegrityError, LatentkitError, UserError
from latentkit.plugin import Budget, SearchRange, StudyTask

SPACE = {"x": SearchRange(-5.0, 5.0)}
TUNER = OptunaTuner(OptunaOptions(sampler="random", pruner="none"))


def task_at(path):
    return StudyTask("s", f"sqlite:///{path}", SPACE, ("minimize",), 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the database of a study with three trials, and its trials."""
    path = tmp_path_factory.mktemp("made") / "study.db"
    result = TUNER.optimize(lambda trial: [trial.params["x"] ** 2], task_at(path), Budget(3))
    return path, result


@pytest.fixture
def database(made, public_dir):
    return shutil.copy(made[0], public_dir / "study.db")


def entries(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()
    }


def test_showing_a_study_changes_no_file_even_in_a_folder_with_an_odd_name(made, tmp_path):
    folder = tmp_path / "a {b}#'; DROP TABLE"
    folder.mkdir()
    shutil.copy(made[0], folder / "study.db")
    before = entries(folder)
    assert TUNER.load(task_at(folder / "study.db")) == made[1]
    assert entries(folder) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_study_in_a_folder_that_cannot_be_written_is_shown(made, database, read_only, mode):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
    with read_only(database.parent):
        assert TUNER.load(task_at(database)) == made[1]


def test_a_database_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "cookies.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cookies (name)")
    before = entries(tmp_path)
    assert TUNER.load(task_at(path)) is None
    assert entries(tmp_path) == before


_KILLED = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN")
connection.execute("UPDATE trial_values SET value = 9")
connection.execute("CREATE TABLE filler (text)")
for _ in range(500):
    connection.execute("INSERT INTO filler VALUES (randomblob(500))")
os._exit(9)
"""


def test_what_a_killed_writer_left_undone_is_not_shown_and_not_restored_in_place(made, database):
    subprocess.run([sys.executable, "-c", _KILLED, str(database)], check=False)
    before = entries(database.parent)
    assert set(before) == {"study.db", "study.db-journal"}
    assert TUNER.load(task_at(database)) == made[1]
    assert entries(database.parent) == before


def test_a_view_in_place_of_a_table_is_refused(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ALTER TABLE trial_values RENAME TO other")
        connection.execute("CREATE VIEW trial_values AS SELECT * FROM other")
        connection.commit()
    with pytest.raises(IntegrityError, match="its view trial_values would execute code"):
        TUNER.load(task_at(database))


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_no_database_is_called_damaged(tmp_path, content):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"study\.db is damaged"):
        TUNER.load(task_at(tmp_path / "study.db"))


def test_a_value_that_optuna_cannot_understand_is_called_damaged(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE trials SET state = 'COMPLETF'")
        connection.commit()
    with pytest.raises(IntegrityError, match="is damaged"):
        TUNER.load(task_at(database))


def test_importance_is_computed_in_the_domains_of_the_study(made, database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "UPDATE trial_params SET distribution_json = replace(distribution_json, '5.0', '7.0')"
        )
        connection.commit()
    tuner, task = OptunaTuner(OptunaOptions()), task_at(database)
    assert tuner.importances(task) == tuner.importances(task_at(made[0])) == {"x": 1.0}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hush@localhost:1/db?passfile=/hush&hush=hush",
        "postgresql+psycopg://me:hush@localhost:hush/db",
        "postgresql+psycopg://me:hush@localhost:1/db?options=hush",
    ],
)
def test_no_error_of_a_driver_shows_a_password(url):
    pytest.importorskip("psycopg")
    with pytest.raises(LatentkitError) as refused:
        TUNER.load(replace(task_at(""), storage=url))
    assert "hush" not in str(refused.value)


def test_an_option_that_a_driver_does_not_know_is_an_error_of_the_user(tmp_path):
    (tmp_path / "s.db").touch()
    with pytest.raises(UserError, match="has a wrong option"):
        TUNER.optimize(lambda trial: [0.0], task_at(f"{tmp_path}/s.db?timeout=blue"), Budget(1))
