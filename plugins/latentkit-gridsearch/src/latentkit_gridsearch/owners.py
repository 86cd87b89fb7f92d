"""The worker that owns a trial, and whether it is still alive."""

from __future__ import annotations

import os
import platform
import uuid
from dataclasses import dataclass, field

import psutil

_AT_WORK: set[str] = set()
"""Tokens of the active workers of this process."""
_SECONDS_APART = 2.0  # from here on, start times differ; the boot time is known to the second


def since_boot(process: psutil.Process) -> float:
    """Return the start time of a process, in seconds since boot."""
    return float(process.create_time() - psutil.boot_time())


@dataclass(frozen=True)
class Owner:
    """A worker: one call of ``optimize``.

    Args:
        token: unique id of the worker.
        host: name of the machine.
        pid: id of the process.
        created: start time of the process in seconds since boot, because the clock may be changed.
    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    created: float = field(default_factory=lambda: since_boot(psutil.Process()))

    def begin(self) -> None:
        """Register this worker of this process as active."""
        _AT_WORK.add(self.token)

    def end(self) -> None:
        """Unregister the worker."""
        _AT_WORK.discard(self.token)

    def alive(self, silence: float, grace: float) -> bool:
        """Return whether the worker may still be at work.

        Args:
            silence: seconds since its last sign of life.
            grace: allowed seconds of silence if its process cannot be examined.
        """
        if self.host != platform.node():
            return silence <= grace
        if self.pid == os.getpid() and self._is(psutil.Process()):
            return self.token in _AT_WORK
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            # The boot time may be inexact, so a different start time alone does not prove death.
            return self._is(process) or silence <= grace
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def _is(self, process: psutil.Process) -> bool:
        return abs(since_boot(process) - self.created) < _SECONDS_APART
