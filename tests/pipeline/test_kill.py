"""A process that is killed at any moment loses nothing that was committed."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

import latentkit as lk

KILLS = 3
_OPTIONS = {"model.channels": "[4,8]", "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
ARGUMENTS = ["run", "-q", "--epochs", "12", "--embed", "pca"]
ARGUMENTS += [word for key, value in _OPTIONS.items() for word in ("-o", f"{key}={value}")]


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
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert start(*ARGUMENTS, cwd=folder).wait() == 0
    return lk.open("last", folder / "runs")


def test_killed_in_training_and_resumed_is_the_same_to_the_byte(uninterrupted, tmp_path):
    moments = random.Random(0)
    process = start(*ARGUMENTS, cwd=tmp_path)
    assert wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/*.json")), process)
    (path,) = (tmp_path / "runs").iterdir()
    process.kill()
    process.wait()
    assert lk.open(path).status == "stopped"
    events = path / "events.jsonl"
    for _ in range(KILLS - 1):
        process = start("resume", str(path), cwd=tmp_path)
        lines = len(events.read_text().splitlines())
        grown = lines + moments.randint(2, 6)
        wait_for(lambda grown=grown: len(events.read_text().splitlines()) > grown, process)
        process.kill()
        process.wait()
    assert start("resume", str(path), cwd=tmp_path).wait() == 0
    for name in ("model.safetensors", "latents/test.npz", "embeddings/pca.npz"):
        assert sha256(path / name) == sha256(uninterrupted.path / name), name


def test_ctrl_c_says_how_to_go_on_and_exits_with_130(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "latentkit", *ARGUMENTS, "--epochs", "2000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/*.json")), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    (path,) = (tmp_path / "runs").iterdir()
    assert f"latentkit resume runs/{path.name}" in err
    assert "Traceback" not in err
    assert lk.open(path).status == "interrupted"
