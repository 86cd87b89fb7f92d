"""Who works on a trial, and whether they still do."""

from __future__ import annotations

import os
import platform
import uuid
from dataclasses import dataclass, field

import psutil

_AT_WORK: set[str] = set()
"""Tokens of the workers of this process."""
_SECONDS_APART = 2.0  # of two processes of one number; the boot is known to the second


def since_boot(process: psutil.Process) -> float:
    """Return when a process began, in seconds since the boot."""
    return float(process.create_time() - psutil.boot_time())


@dataclass(frozen=True)
class Owner:
    """A worker: one call of ``optimize``.

    Args:
        token: no other worker's, anywhere.
        host: name of the machine.
        pid: of the process.
        created: when the process began, in seconds since the boot: the clock may be set.
    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    created: float = field(default_factory=lambda: since_boot(psutil.Process()))

    def begin(self) -> None:
        """Say that this worker, which is of this process, is at work."""
        _AT_WORK.add(self.token)

    def end(self) -> None:
        """Say that it is no more."""
        _AT_WORK.discard(self.token)

    def alive(self, silence: float, grace: float) -> bool:
        """Return whether the worker may still be at work.

        Args:
            silence: seconds since its last sign of life.
            grace: seconds of silence that are allowed where its process cannot be looked at.
        """
        if self.host != platform.node():
            return silence <= grace
        if self.pid == os.getpid() and self._is(psutil.Process()):
            return self.token in _AT_WORK
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            # Where the boot is not known well, the beginning is no proof alone.
            return self._is(process) or silence <= grace
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def _is(self, process: psutil.Process) -> bool:
        return abs(since_boot(process) - self.created) < _SECONDS_APART
