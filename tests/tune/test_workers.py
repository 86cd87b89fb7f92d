"""Processes of a study: none is left running, and every death is noticed."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from latentkit.errors import StudyError
from latentkit.plugin.events import Notice
from latentkit.training.device import device_text
from latentkit.tune import workers
from latentkit.tune.workers import _crew


class Process:
    """Fake process; ``code`` is its exit code."""

    def __init__(self):
        self.code = None
        self.stdin = None

    def poll(self):
        return self.code

    def terminate(self):
        self.code = 130

    def wait(self, timeout=None):
        return self.code


@pytest.fixture
def started(monkeypatch):
    """Return the list of the fake processes that were started."""
    processes = []

    def start(command, **places):
        processes.append(Process())
        processes[-1].environment = places["env"]
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


@pytest.fixture
def search(tmp_path):
    told = []
    return SimpleNamespace(
        study=SimpleNamespace(path=tmp_path), storage=None, emit=told.append, told=told
    )


def test_a_killed_process_is_restarted_and_a_finished_one_is_not(search, started):
    with _crew(search, 2, None) as crew:
        assert crew.is_at_work(finished=0)
        started[0].code, started[1].code = 0, -signal.SIGKILL
        assert crew.is_at_work(finished=0)
        assert len(started) == 3
        assert [type(event) for event in search.told] == [Notice]
        started[2].code = 0
        assert not crew.is_at_work(finished=1)


def test_an_error_of_the_last_process_is_raised(search, started, tmp_path):
    with _crew(search, 2, None) as crew:
        (tmp_path / "worker-1.log").write_text("a warning\nthe disk is full\n")
        started[0].code, started[1].code = 0, 5
        with pytest.raises(StudyError, match="worker 1 ended: the disk is full"):
            crew.is_at_work(finished=0)


def test_processes_that_keep_dying_end_the_study(search, started):
    with _crew(search, 1, None) as crew:
        for _ in range(5):
            started[-1].code = -signal.SIGKILL
            assert crew.is_at_work(finished=0)
        started[-1].code = -signal.SIGKILL
        with pytest.raises(StudyError, match="before they finish a trial"):
            crew.is_at_work(finished=0)


def test_if_a_process_cannot_be_started_the_others_are_ended(search, started, monkeypatch):
    start = subprocess.Popen

    def fail_at_the_second(command, **places):
        if started:
            raise OSError("no more processes")
        return start(command, **places)

    monkeypatch.setattr(workers.subprocess, "Popen", fail_at_the_second)
    with pytest.raises(OSError, match="no more processes"), _crew(search, 2, None):
        pass
    assert [process.code for process in started] == [130]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_ends_when_the_process_that_started_it_ends():
    code = "from latentkit.tune import worker; worker._end_at_eof()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("gpus", "stated", "expected"),
    [
        (2, None, ["0", "1", "0"]),
        (2, "5, 7", ["5", "7", "5"]),
        (1, None, [None] * 3),
        (0, "", [""] * 3),
    ],
)
def test_each_worker_has_a_gpu_of_its_own(search, started, monkeypatch, gpus, stated, expected):
    monkeypatch.setattr(workers.torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if stated is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    with _crew(search, 3, None):
        found = [process.environment.get("CUDA_VISIBLE_DEVICES") for process in started]
    assert found == expected


def test_the_record_of_a_trial_names_the_gpu_of_its_worker(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")  # as `gpu_of_worker` sets it
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA H200")
    assert device_text(torch.device("cuda")) == "GPU 7 (NVIDIA H200)"
