"""One event file, written at once: a full disk is noticed where something is written.

``torch.utils.tensorboard.SummaryWriter`` writes in a thread of its own, which ends with a traceback
on stderr where the disk is full. The records are TensorBoard's own here too.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

_VERSION = "brain.Event:2"
_numbers = itertools.count()


class EventFile:
    """A new event file; TensorBoard reads those of a folder in the order of their names.

    Args:
        folder: is made where it is missing.

    Raises:
        OSError: it cannot be written, here and in every method.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / f"{name}.{next(_numbers):04d}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version=_VERSION))

    def forget_from(self, step: int) -> None:
        """Have readers drop what earlier files say of ``step`` and later ones."""
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=step, session_log=start))

    def add(self, summary: Summary, step: int) -> None:
        """Write a summary."""
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()
