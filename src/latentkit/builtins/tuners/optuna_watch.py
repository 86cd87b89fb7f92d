"""Who works on which trial, and which trials nobody works on any more.

Every worker leaves a name and signs of life beside its trial. A trial of a process of this
machine that is gone, or of any worker that has been silent for long, is put back into the queue
under its own number, and Optuna's queue hands it out again. (SQLite cannot lock a row: two workers
that ask in the same millisecond may both be given it. A new trial is never queued.) Silence is
measured by the watcher's own clock, so clocks may differ between machines.
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
_SECONDS_APART = 2.0  # of two processes of one number; the boot is known to the second


def new_worker() -> dict[str, Any]:
    """Return what tells a worker of this process from all others."""
    process = psutil.Process()
    return {
        "id": uuid.uuid4().hex,
        "machine": _machine(),
        "pid": process.pid,
        "started": _started(process),
    }


def is_gone(worker: Any) -> bool:
    """Return whether a worker is known to be gone: a process of this machine that ended."""
    if not isinstance(worker, dict) or worker.get("machine") != _machine():
        return False
    try:
        started = _started(psutil.Process(worker["pid"]))
    except psutil.NoSuchProcess:
        return True
    return bool(abs(started - worker["started"]) > _SECONDS_APART)


def _started(process: psutil.Process) -> float:
    """Return when a process was started, in seconds since the boot: the clock may be set."""
    return process.create_time() - psutil.boot_time()


def _machine() -> str:
    """Return a name of this machine, and of the container that counts its processes anew."""
    namespace = Path("/proc/self/ns/pid")
    counted = str(namespace.readlink()) if namespace.is_symlink() else ""
    return f"{platform.node()} {counted}".strip()


class Pulse:
    """Signs of life beside a trial, until the block ends.

    Args:
        storage: holds the trial.
        trial_id: of the storage.
        seconds: between two signs.
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
            with suppress(Exception):  # the trial itself will find out, and has more patience
                self._storage.engine.set_trial_user_attr(self._trial_id, BEAT, beats)


class Watch:
    """Finds trials that nobody works on, and puts them back into the queue.

    ``worker`` is the name of the one who watches; see `new_worker`.

    Args:
        storage: holds the study.
        study: where trials are looked up.
        heartbeat: seconds between signs of life.
    """

    def __init__(self, storage: Storage, study: optuna.Study, heartbeat: float) -> None:
        self._storage = storage
        self._study = study
        self._grace = _SILENT_BEATS * heartbeat
        self._seen: dict[int, tuple[Any, float]] = {}
        self.worker = new_worker()

    def intend(self, trial_id: int) -> None:
        """Leave a word beside a trial that waits: this worker is about to take it.

        Between the queue, which hands a trial out, and `sign` there is a moment in which a worker
        can be lost. Whom it was then handed to is among those who left word.
        """
        with suppress(UpdateFinishedTrialError):  # another took it, and has ended it already
            self._storage.engine.set_trial_user_attr(
                trial_id, f"{_INTENT}{self.worker['id']}", self.worker
            )

    def sign(self, trial_id: int) -> None:
        """Name this worker as the one who is at a trial."""
        self._storage.engine.set_trial_user_attr(trial_id, WORKER, self.worker)

    def sweep(self) -> None:
        """Put back every trial whose worker is gone or silent.

        To be called while this worker is at none: a trial that bears its name was lost as well.
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if self._is_abandoned(trial) or self._is_silent(trial):
                self._put_back_if_unchanged(trial)

    def put_back(self, trial_id: int) -> None:
        """Let a trial wait for a worker."""
        engine = self._storage.engine
        # Without a name first: nobody shall take the next worker for the last one.
        engine.set_trial_user_attr(trial_id, WORKER, None)
        engine.set_trial_state_values(trial_id, TrialState.WAITING)

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        worker = attributes.get(WORKER)
        if worker is not None:
            takers = [worker]
        else:  # lost before it was signed
            takers = [value for key, value in attributes.items() if key.startswith(_INTENT)]
        return bool(takers) and all(taker == self.worker or is_gone(taker) for taker in takers)

    def _is_silent(self, trial: FrozenTrial) -> bool:
        signs = (trial.user_attrs.get(WORKER), trial.user_attrs.get(BEAT), len(trial.params))
        now = time.monotonic()
        last, since = self._seen.get(trial.number, (None, now))
        if last != signs:
            since = now
        since = max(since, self._storage.lost_at)  # nobody could give a sign meanwhile
        self._seen[trial.number] = (signs, since)
        return now - since > self._grace

    def _put_back_if_unchanged(self, trial: FrozenTrial) -> None:
        now = self._storage.engine.get_trial(trial._trial_id)
        same = now.user_attrs.get(WORKER) == trial.user_attrs.get(WORKER)
        if now.state is TrialState.RUNNING and same:
            self.put_back(trial._trial_id)
            self._seen.pop(trial.number, None)
