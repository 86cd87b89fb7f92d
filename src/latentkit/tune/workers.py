"""Several worker processes for one study on this machine, and the code that starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch

from latentkit.atomic import storage_error
from latentkit.errors import (
    INTERRUPTED_EXIT_CODE,
    StudyError,
    describe_os_error,
)
from latentkit.plugin.events import Listener, Notice, TrialFinished, TrialReported, TrialStarted
from latentkit.plugin.machine import usable_cpus
from latentkit.plugin.studies import StudyResult, TrialRecord
from latentkit.reading import open_file
from latentkit.terminal import printable
from latentkit.training.device import gpu_names
from latentkit.trust import without_current_folder
from latentkit.tune.study import Search

WORKER_STORAGE = "LATENTKIT_WORKER_STORAGE"
_MODULE = "latentkit.tune.worker"
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_END = 15.0
_MOST_WORDS = 2**16  # bytes at the end of a log
_MOST_DEATHS = 5  # per worker, without a finished trial in between


def work_together(
    search: Search, follower: Follower, workers: int, seconds: float | None
) -> StudyResult:
    """Run trials in ``workers`` processes until the study is over; ``follower`` reports them.

    A killed process is started again, and its trial is resumed.

    Raises:
        DataError: the images are missing, or others than those that the study began with.
        StudyError: a worker ended with an error, or workers are killed again and again.
        KeyboardInterrupt: the workers were stopped; their trials can be resumed.
    """
    search.check_images()
    end = None if seconds is None else time.monotonic() + seconds
    with _crew(search, workers, end) as crew:
        while crew.is_at_work(follower.finished):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            stored = search.stored()
            follower.look(stored)
            search.record(lambda found=stored: found)  # type: ignore[misc]
    result = search.result()
    follower.look(result)
    return result


class Follower:
    """Emits events for trials that other processes run, from the records that they store.

    Args:
        emit: listener that receives the events.
    """

    def __init__(self, emit: Listener) -> None:
        self.finished = 0
        self._emit = emit
        self._seen: dict[int, TrialRecord] = {}

    def look(self, result: StudyResult | None, *, earlier: bool = False) -> None:
        """Report what is new since the last call.

        With ``earlier``, report only finished trials, and mark them as finished earlier.
        """
        for trial in result.trials if result is not None else ():
            before = self._seen.get(trial.number)
            if before == trial or (before is not None and before.finished):
                continue
            if earlier and not trial.finished:
                continue
            self._seen[trial.number] = trial
            self._emit_trial(trial, before, earlier)
        self.finished = sum(trial.finished for trial in self._seen.values())

    def _emit_trial(self, trial: TrialRecord, before: TrialRecord | None, earlier: bool) -> None:
        known = () if before is None else before.reports
        if before is None or before.state == "waiting":
            self._emit(TrialStarted(trial.number, dict(trial.params)))
        for epoch in sorted(set(trial.reports) - set(known)):
            self._emit(TrialReported(trial.number, epoch, 0, trial.reports[epoch]))
        if trial.finished:
            epochs = int(trial.notes.get("epochs", max(trial.reports, default=0)))
            self._emit(
                TrialFinished(
                    trial.number,
                    trial.state,
                    trial.values,
                    epochs,
                    int(trial.notes.get("of_epochs", epochs)),
                    trial.seconds,
                    trial.error,
                    earlier,
                )
            )


class _Crew:
    """The worker processes of a study."""

    def __init__(self, search: Search, workers: int, end: float | None) -> None:
        self._search = search
        self._end = end
        self._deaths = 0
        self._finished_at_death = 0
        self._threads = max(1, usable_cpus() // workers)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, workers: int) -> None:
        for number in range(workers):
            self._processes[number] = self._start(number)

    def is_at_work(self, finished: int) -> bool:
        """Return whether any process still works; start killed processes again.

        Args:
            finished: number of finished trials.

        Raises:
            StudyError: a process ended with an error, or processes are killed again and again.
        """
        codes = {number: process.poll() for number, process in self._processes.items()}
        for number, code in codes.items():
            if code is None or code == 0:
                continue
            if code > 0 and code != INTERRUPTED_EXIT_CODE:
                raise StudyError(f"worker {number} ended: {self._last_words(number)}")
            self._deaths = self._deaths + 1 if finished == self._finished_at_death else 1
            self._finished_at_death = finished
            if self._deaths > _MOST_DEATHS * len(self._processes):
                raise StudyError(
                    "workers are killed before they finish a trial, perhaps because memory runs "
                    "out: use fewer --workers"
                )
            _close(self._processes[number])
            text = f"worker {number} was killed and is started again"
            self._search.emit(Notice("worker-killed", text))
            self._processes[number] = self._start(number)
        return any(code != 0 for code in codes.values())

    def stop(self) -> None:
        """Terminate every process and wait for it."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", _MODULE, str(self._search.study.path.absolute())]
        command += ["--threads", str(self._threads), "--until-eof"]
        if self._end is not None:
            command += ["--seconds", f"{max(0.0, self._end - time.monotonic()):.1f}"]
        environment = {**os.environ, **without_current_folder(), **gpu_of_worker(number)}
        if self._search.storage:
            environment[WORKER_STORAGE] = self._search.storage  # other users can read arguments
        with self._opened_log(number) as log:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,  # closed by the system when this process ends
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches them once, through `stop`
            )

    def _log(self, number: int) -> Path:
        return self._search.study.path / f"worker-{number}.log"

    def _opened_log(self, number: int) -> BinaryIO:
        """Return a new log. An old one is removed first, because a link would lead elsewhere."""
        path = self._log(number)
        try:
            path.unlink(missing_ok=True)
            return path.open("xb")
        except OSError as error:
            raise storage_error(path, error) from error

    def _last_words(self, number: int) -> str:
        try:
            with open_file(self._log(number), follow=False) as log:
                log.seek(-min(_MOST_WORDS, log.seek(0, os.SEEK_END)), os.SEEK_END)
                lines = log.read(_MOST_WORDS).decode("utf-8", errors="replace").split("\n")
        except OSError as error:
            return f"its log cannot be read: {describe_os_error(error)}"
        words = (line.strip() for line in reversed(lines) if line.strip())
        return printable(next(words, "without a message"))


def gpu_of_worker(number: int) -> dict[str, str]:
    """Return the environment that gives a worker a GPU of its own, if the machine has several.

    More workers than GPUs share them in turn. Numbers in ``CUDA_VISIBLE_DEVICES`` are heeded.
    """
    count = torch.cuda.device_count()
    if count < 2:
        return {}
    return {"CUDA_VISIBLE_DEVICES": gpu_names()[number % count]}


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


@contextmanager
def _crew(search: Search, workers: int, end: float | None) -> Iterator[_Crew]:
    crew = _Crew(search, workers, end)
    try:
        crew.start(workers)
        yield crew
    finally:
        crew.stop()
