"""A process that is killed at any moment keeps everything that was committed."""

import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import latentkit as lk

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("LATENTKIT_KILLS", "10"))
_OPTIONS = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
ARGUMENTS = ["run", "-q", "--epochs", "12", "--embed", "pca"]
ARGUMENTS += [word for key, value in _OPTIONS.items() for word in ("-o", f"{key}={value}")]


RUN = {"model": "conv-ae", "embed": ["pca"], "epochs": 5, "options": _OPTIONS}


PRELOADED = [
    "latentkit.runs.autoencoder_kind",
    "latentkit.api.commands",
    "latentkit.builtins.models.autoencoder",
    "latentkit.builtins.datasets.digits",
    "latentkit.builtins.embeddings.pca",
    "latentkit.maps.quality",
    "matplotlib.backends.backend_agg",
]


def start(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "latentkit", *arguments],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def forks():
    """Return a context whose processes start in milliseconds.

    They are forked from a server that has already imported everything.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def committed(folder):
    """Return how many stages the run in ``folder`` has committed; -1 before there is a run."""
    paths = list((folder / "runs").glob("*/run.json"))
    return len(lk.open(paths[0].parent).summary["seconds"]) if paths else -1


def in_a_fork(forks, folder, stages=None, seconds=None):
    """Start or resume a run in ``folder``, and return whether it was killed.

    It is killed ``seconds`` after it has committed ``stages`` stages.
    """
    runs = list((folder / "runs").glob("*/run.json"))
    if runs:
        process = forks.Process(target=lk.resume, args=(runs[0].parent,))
    else:
        process = forks.Process(target=lk.run, kwargs={**RUN, "out": folder / "runs"})
    process.start()
    while stages is not None and process.is_alive() and committed(folder) < stages:
        process.join(0.01)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def bytes_of(folder: Path):
    (path,) = (entry.parent for entry in (folder / "runs").glob("*/run.json"))
    assert lk.open(path).status == "finished"
    names = ("model.safetensors", "latents/test.npz", "embeddings/pca.npz", "evaluation.json")
    return {name: sha256(path / name) for name in names}


def test_a_run_killed_at_random_moments_and_resumed_gives_the_same_bytes(forks, tmp_path, capsys):
    folder = tmp_path / "never"
    assert not in_a_fork(forks, folder)  # the server of forks is up now
    whole = bytes_of(folder)
    started = time.monotonic()
    assert not in_a_fork(forks, tmp_path / "timed")
    seconds = time.monotonic() - started
    last = committed(folder)
    chance, kills, finished, reached = random.Random(0), 0, 0, set()
    sure = iter([(1, 0.0), (3, 0.0)])  # ensure an early and a late kill

    def moment():
        # Most stages are short, so short delays are more likely than long ones.
        return next(sure, (chance.randint(-1, last), seconds * chance.random() ** 3))

    while kills < KILLS:
        folder = tmp_path / str(finished)
        while in_a_fork(forks, folder, *moment()):
            kills += 1
            reached.add(committed(folder))
        finished += 1
        assert bytes_of(folder) == whole, folder
    with capsys.disabled():
        print(f"[{kills} kills, {finished} runs, after {sorted(reached)} stages]", end=" ")
    assert min(reached) <= 1 < 3 <= max(reached), reached


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_ctrl_c_and_signals_of_schedulers_end_with_exit_code_130_and_the_resume_command(
    tmp_path, sent
):
    process = subprocess.Popen(
        [sys.executable, "-m", "latentkit", *ARGUMENTS, "--epochs", "2000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with SIGINT ignored, and the tests may be such a job.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/*.json")), process)
    for _ in range(5):  # a signal during a finaliser of Python is lost, so send it again
        process.send_signal(sent)
        if sent == signal.SIGTERM:  # like `timeout`
            process.send_signal(sent)
        with suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=15)
            break
    assert process.returncode == 130
    assert out == ""
    (path,) = (tmp_path / "runs").iterdir()
    assert f"latentkit resume runs/{path.name}" in err
    assert "Traceback" not in err
    assert lk.open(path).status == "interrupted"
