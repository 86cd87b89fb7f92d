"""An event file that is written synchronously, so that a full disk raises at the write.

``torch.utils.tensorboard.SummaryWriter`` writes in its own thread, which ends with a traceback on
stderr if the disk is full. This module also uses TensorBoard's own record format.
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
    """A new event file; TensorBoard reads the files of a folder in the order of their names.

    Args:
        folder: folder of the file; created if it does not exist.

    Raises:
        OSError: the file cannot be written; all methods raise this too.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / f"{name}.{next(_numbers):04d}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version=_VERSION))

    def forget_from(self, step: int) -> None:
        """Make readers ignore values of earlier files for ``step`` and later steps."""
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
