"""Detection of abandoned trials: which worker runs which trial, and which workers are gone.

Every worker stores its name and signs of life with its trial. If the worker was a process of this
machine and has ended, or if it has been silent for long, its trial is put back into the queue under
its own number, and Optuna's queue hands it out again. Silence is measured by the watcher's own
clock, so clocks may differ between machines.

SQLite cannot lock a row, so two workers that ask in the same millisecond may both be given a queued
trial. A new trial is never queued.
"""

from __future__ import annotations

import platform
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from latentkit.builtins.tuners.optuna_storage import Storage

WORKER, BEAT = "worker", "beat"
_INTENT = "intent:"
_SILENT_BEATS = 4
# Start times further apart are of two processes with one number. Boot time is known to the second.
_SECONDS_APART = 2.0


def new_worker() -> dict[str, Any]:
    """Return the identity of a new worker in this process, different from all others."""
    process = psutil.Process()
    return {
        "id": uuid.uuid4().hex,
        "machine": _machine(),
        "pid": process.pid,
        "started": _started(process),
    }


def is_gone(worker: Any) -> bool:
    """Return whether a worker is known to be gone: its process on this machine has ended."""
    if not isinstance(worker, dict) or worker.get("machine") != _machine():
        return False
    try:
        started = _started(psutil.Process(worker["pid"]))
    except psutil.NoSuchProcess:
        return True
    return bool(abs(started - worker["started"]) > _SECONDS_APART)


def _started(process: psutil.Process) -> float:
    """Return when a process started, in seconds since boot, because the clock may be changed."""
    return process.create_time() - psutil.boot_time()


def _machine() -> str:
    """Return this machine's name and PID namespace, because each container has its own PIDs."""
    namespace = Path("/proc/self/ns/pid")
    counted = str(namespace.readlink()) if namespace.is_symlink() else ""
    return f"{platform.node()} {counted}".strip()


class Pulse:
    """Signs of life that a thread stores with a trial, until the ``with`` block ends.

    Args:
        storage: holds the trial.
        trial_id: the trial's ID in the storage.
        seconds: time between two signs.
    """

    def __init__(self, storage: Storage, trial_id: int, seconds: float) -> None:
        self._storage = storage
        self._trial_id = trial_id
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        beats = 0
        while not self._ended.wait(self._seconds):
            beats += 1
            with suppress(Exception):  # the trial notices a lost storage itself, and waits for it
                self._storage.engine.set_trial_user_attr(self._trial_id, BEAT, beats)


class Watch:
    """One worker's watch over a study: it puts abandoned trials back into the queue.

    ``worker`` is the identity of the worker that watches; see `new_worker`.

    Args:
        storage: holds the study.
        study: the study whose trials are watched.
        heartbeat: seconds between signs of life.
    """

    def __init__(self, storage: Storage, study: optuna.Study, heartbeat: float) -> None:
        self._storage = storage
        self._study = study
        self._grace = _SILENT_BEATS * heartbeat
        self._seen: dict[int, tuple[Any, float]] = {}
        self.worker = new_worker()

    def intend(self, trial_id: int) -> None:
        """Store with a waiting trial that this worker is about to take it.

        A worker can be lost after the queue hands it a trial and before it calls `sign`. That
        worker is then one of those that stored their intent.
        """
        with suppress(UpdateFinishedTrialError):  # another worker has already finished it
            self._storage.engine.set_trial_user_attr(
                trial_id, f"{_INTENT}{self.worker['id']}", self.worker
            )

    def sign(self, trial_id: int) -> None:
        """Store this worker as the one that runs a trial."""
        self._storage.engine.set_trial_user_attr(trial_id, WORKER, self.worker)

    def sweep(self) -> None:
        """Put back every trial whose worker is gone or silent.

        Call this while this worker runs no trial, because trials that carry its own name are put
        back as well.
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if self._is_abandoned(trial) or self._is_silent(trial):
                self._put_back_if_unchanged(trial)

    def put_back(self, trial_id: int) -> None:
        """Put a trial back into the queue."""
        engine = self._storage.engine
        # Remove the name first, so that nobody mistakes the next worker for the last one.
        engine.set_trial_user_attr(trial_id, WORKER, None)
        engine.set_trial_state_values(trial_id, TrialState.WAITING)

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        worker = attributes.get(WORKER)
        if worker is not None:
            takers = [worker]
        else:  # the worker was lost before it signed
            takers = [value for key, value in attributes.items() if key.startswith(_INTENT)]
        return bool(takers) and all(taker == self.worker or is_gone(taker) for taker in takers)

    def _is_silent(self, trial: FrozenTrial) -> bool:
        signs = (trial.user_attrs.get(WORKER), trial.user_attrs.get(BEAT), len(trial.params))
        now = time.monotonic()
        last, since = self._seen.get(trial.number, (None, now))
        if last != signs:
            since = now
        since = max(since, self._storage.lost_at)  # nobody could store a sign before
        self._seen[trial.number] = (signs, since)
        return now - since > self._grace

    def _put_back_if_unchanged(self, trial: FrozenTrial) -> None:
        now = self._storage.engine.get_trial(trial._trial_id)
        same = now.user_attrs.get(WORKER) == trial.user_attrs.get(WORKER)
        if now.state is TrialState.RUNNING and same:
            self.put_back(trial._trial_id)
            self._seen.pop(trial.number, None)
