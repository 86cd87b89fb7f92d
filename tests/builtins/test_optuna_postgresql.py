"""Studies in a PostgreSQL database that the tests start in a temporary folder."""

import getpass
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_tuner import OptunaTuner
from latentkit.plugin import Budget, SearchRange, StudyTask

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

SPACE = {"x": SearchRange(-5.0, 5.0)}


def programs():
    """Return the folder of PostgreSQL's programs, or None."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class Server:
    """A database server on a socket in ``folder``; root runs it as Debian's ``postgres`` user."""

    def __init__(self, bin_folder, folder):
        self.bin, self.folder = bin_folder, folder
        self.user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        self._run("initdb", "-D", f"{folder}/data", "-U", "latentkit", "-A", "trust", "-N")
        self.start()

    def _run(self, program, *arguments):
        as_user = ["runuser", "-u", self.user, "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_user, str(self.bin / program), *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def start(self):
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        log = f"{self.folder}/log"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", log, "-o", options, "start")

    def stop(self, how="immediate"):
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", how, "stop")

    @property
    def url(self):
        return f"postgresql+psycopg://latentkit:secret@/postgres?host={self.folder}"


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    # A socket's path must be short, and the server's user must be able to write there.
    folder = Path(tempfile.mkdtemp(prefix="lk-pg-"))
    folder.chmod(0o777)
    started = Server(found, folder)
    yield started
    started.stop("fast")
    shutil.rmtree(folder, ignore_errors=True)


def task(server, name):
    return StudyTask(name, server.url, SPACE, ("minimize",), 0)


def tuner():
    return OptunaTuner(OptunaOptions(patience=60.0))


def slow_bowl(trial):
    for epoch in range(1, 4):
        time.sleep(0.1)
        trial.report(epoch, trial.params["x"] ** 2)
    return [trial.params["x"] ** 2]


def work(server_task, trials):
    tuner().optimize(slow_bowl, server_task, Budget(trials))


def test_two_workers_that_share_a_database_finish_all_trials(server):
    context = multiprocessing.get_context("spawn")
    shared = task(server, "shared")
    crew = [context.Process(target=work, args=(shared, 12)) for _ in range(2)]
    for process in crew:
        process.start()
    for process in crew:
        process.join(120)
    assert [process.exitcode for process in crew] == [0, 0]
    trials = tuner().load(shared).trials
    assert [trial.number for trial in trials] == list(range(12))
    assert all(trial.finished for trial in trials)


def test_a_study_waits_for_a_database_that_restarts(server):
    study = task(server, "restarted")

    again = threading.Timer(2.0, server.start)

    def lose(trial):
        if trial.number == 3:
            server.stop()
            again.start()
        return slow_bowl(trial)

    result = tuner().optimize(lose, study, Budget(12))
    again.join()
    assert len(result.trials) == 12
    assert [trial.error for trial in result.trials] == [""] * 12
    assert {trial.state for trial in result.trials} <= {"complete", "pruned"}
    whole = tuner().optimize(slow_bowl, task(server, "whole"), Budget(12))
    assert [t.params for t in result.trials] == [t.params for t in whole.trials]
