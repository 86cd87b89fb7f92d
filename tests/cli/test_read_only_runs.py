"""A run on read-only media: everything can be read, and what writes says how to go on."""

import os
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import StorageError

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def archived(finished, monkeypatch):
    """Return a run whose folder cannot be written, by the word of the system."""
    access = os.access

    def refuse(path, mode, **options):
        inside = Path(path).is_relative_to(finished)
        return not (inside and mode & os.W_OK) and access(path, mode, **options)

    monkeypatch.setattr(os, "access", refuse)
    opened = os.open

    def open_(path, flags, *arguments, **options):
        inside = Path(os.fsdecode(path)).is_relative_to(finished)
        if inside and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, os.strerror(30), os.fsdecode(path))
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", open_)
    return finished


@pytest.mark.parametrize(
    "command",
    [
        ("runs",),
        ("runs", "RUN"),
        ("compare", "RUN", "RUN"),
        ("evaluate", "RUN"),
        ("evaluate", "RUN", "--json"),
        ("explore", "RUN", "grid", "--steps", "2", "--out", "OUT/grid.png"),
    ],
)
def test_commands_that_only_read_work(archived, latentkit, tmp_path, command):
    words = [w.replace("RUN", str(archived)).replace("OUT", str(tmp_path)) for w in command]
    before = {path: path.stat().st_mtime_ns for path in archived.rglob("*")}
    ended = latentkit(*words)
    assert ended.code == 0, ended.err
    assert ended.out
    assert {path: path.stat().st_mtime_ns for path in archived.rglob("*")} == before


def test_its_results_are_read_in_python(archived):
    run = lk.open(archived)
    assert run.summary["status"] == "finished"
    assert len(run.latents()) == len(run.coordinates("pca")) == 360
    assert run.evaluation == lk.evaluate(archived).evaluation
    explored = run.explored
    assert explored.encode(explored.images(np.array([0]))).shape == (1, 3)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("resume", "RUN"), "latentkit resume COPY'"),
        (("resume", "RUN", "--epochs", "3"), "resume COPY -o training.epochs=3'"),
        (("report", "RUN"), "report COPY'"),
        (
            ("embed", "RUN", "--embed", "pca", "--on", "9", "-o", "pca.n_components=3"),
            "embed COPY --embed pca --on 9 -o pca.n_components=3'",
        ),
        (("evaluate", "RUN", "--again"), "evaluate COPY --again'"),
        (("explore", "RUN", "grid", "--steps", "2"), "--out FILE"),
    ],
)
def test_commands_that_write_into_it_say_how_to_go_on(archived, latentkit, command, named):
    ended = latentkit(*(word.replace("RUN", str(archived)) for word in command))
    assert ended.code == StorageError.exit_code
    assert f"{archived} is read-only: " in ended.error
    assert named in ended.error
