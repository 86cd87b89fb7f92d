"""Several processes of this machine that work on one study, and who starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latentkit.errors import LatentkitError, StudyError
from latentkit.pipeline.studies.search import Search
from latentkit.plugin.events import Listener, Notice, TrialFinished, TrialReported, TrialStarted
from latentkit.plugin.studies import StudyResult, TrialRecord
from latentkit.training.device import usable_cpus

WORKER_STORAGE = "LATENTKIT_WORKER_STORAGE"
_MODULE = "latentkit.pipeline.studies.worker"
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_END = 15.0
_MOST_DEATHS = 5  # in a row, without a trial that ended in between


def work_together(
    search: Search, follower: Follower, workers: int, seconds: float | None
) -> StudyResult:
    """Run trials in ``workers`` processes until the study is over, and let ``follower`` tell.

    A process that is killed is started anew; the trial it was at is gone on with.

    Raises:
        StudyError: a worker ended with an error, or they die one after the other.
        KeyboardInterrupt: the workers were told to end, and their trials wait to be gone on with.
    """
    end = None if seconds is None else time.monotonic() + seconds
    with _crew(search, workers, end) as crew:
        while crew.is_at_work(follower.finished):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            follower.look(_what_is_stored(search))
    result = search.result()
    follower.look(result)
    return result


def _what_is_stored(search: Search) -> StudyResult | None:
    """Return the state of the study; None where the storage does not answer at the moment."""
    try:
        return search.result()
    except LatentkitError:
        return None


class Follower:
    """Tells of trials that other processes run, from what they store.

    Args:
        tell: hears of them.
    """

    def __init__(self, tell: Listener) -> None:
        self.finished = 0
        self._tell = tell
        self._seen: dict[int, TrialRecord] = {}

    def look(self, result: StudyResult | None, *, earlier: bool = False) -> None:
        """Tell what is new; with ``earlier``, only of trials that ended, and that they did before.

        What is told once is not told again.
        """
        for trial in result.trials if result is not None else ():
            before = self._seen.get(trial.number)
            if before == trial or (before is not None and before.finished):
                continue
            if earlier and not trial.finished:
                continue
            self._seen[trial.number] = trial
            self._tell_of(trial, before, earlier)
        self.finished = sum(trial.finished for trial in self._seen.values())

    def _tell_of(self, trial: TrialRecord, before: TrialRecord | None, earlier: bool) -> None:
        known = () if before is None else before.reports
        if before is None or before.state == "waiting":
            self._tell(TrialStarted(trial.number, dict(trial.params)))
        for epoch in sorted(set(trial.reports) - set(known)):
            self._tell(TrialReported(trial.number, epoch, 0, trial.reports[epoch]))
        if trial.finished:
            epochs = int(trial.notes.get("epochs", max(trial.reports, default=0)))
            self._tell(
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
    """The processes."""

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
        """Return whether a process works still; one that was killed is started anew.

        Args:
            finished: trials that have ended.

        Raises:
            StudyError: a process ended with an error, or they die one after the other.
        """
        codes = {number: process.poll() for number, process in self._processes.items()}
        for number, code in codes.items():
            if code is None or code == 0:
                continue
            if code > 0:
                raise StudyError(f"worker {number} ended: {self._last_words(number)}")
            self._deaths = self._deaths + 1 if finished == self._finished_at_death else 1
            self._finished_at_death = finished
            if self._deaths > _MOST_DEATHS * len(self._processes):
                raise StudyError(
                    f"workers are killed (signal {-code}) before they finish a trial, out of "
                    f"memory perhaps: try fewer with --workers"
                )
            _close(self._processes[number])
            text = f"worker {number} was killed (signal {-code}) and is started anew"
            self._search.tell(Notice("worker-killed", text))
            self._processes[number] = self._start(number)
        return any(code != 0 for code in codes.values())

    def stop(self) -> None:
        """Let every process end, and wait for it."""
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
        environment = {**os.environ}
        if self._search.storage:
            environment[WORKER_STORAGE] = self._search.storage  # not where others can read it
        with self._log(number).open("wb") as log:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,  # closed by the system when this process is gone
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C comes to them once, through `stop`
            )

    def _log(self, number: int) -> Path:
        return self._search.study.path / f"worker-{number}.log"

    def _last_words(self, number: int) -> str:
        lines = self._log(number).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")


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
