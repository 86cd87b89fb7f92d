"""Progress as plain lines for logs; the live display uses some of the same texts."""

from __future__ import annotations

import sys
import time

from latentkit.plugin.events import (
    EpochFinished,
    Event,
    Notice,
    RunStarted,
    StageFinished,
    StageProgress,
    StageSkipped,
    TrainingStarted,
)

_SECONDS_BETWEEN_LINES = 30


class PlainDisplay:
    """One flushed line per epoch and stage, without control characters.

    A long stage prints its progress twice a minute.
    """

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Print the line of an event, if it has one."""
        now = time.monotonic()
        if isinstance(event, StageProgress) and now - self._shown < _SECONDS_BETWEEN_LINES:
            return
        if line := _plain_line(event):
            self._shown = now
            print(line, file=sys.stderr, flush=True)  # noqa: T201


def _plain_line(event: Event) -> str | None:
    """Return an event's line in a log, or None."""
    match event:
        case EpochFinished():
            shown = losses(event)
            return f"epoch {event.epoch}/{event.epochs}  {shown}  {event.seconds:.1f} s"
        case RunStarted():
            return f"{'resuming' if event.resumed else 'run'} {event.path}"
        case TrainingStarted():
            return training_line(event)
        case StageProgress():
            return f"{event.stage} {event.done}/{event.total or '?'}  {event.detail}".rstrip()
        case StageFinished():
            return f"{event.stage} done in {event.seconds:.1f} s"
        case StageSkipped():
            return f"{event.stage} is already there"
        case Notice():
            return notice_line(event)
    return None


def warnings_only(event: Event) -> None:
    """Print warnings and nothing else."""
    if isinstance(event, Notice) and event.level == "warning":
        print(notice_line(event), file=sys.stderr, flush=True)  # noqa: T201


def losses(event: EpochFinished) -> str:
    """Return the losses of an epoch as text."""
    return f"train {event.train['loss']:.4f}  validation {event.validation['loss']:.4f}"


def training_line(event: TrainingStarted) -> str:
    """Return a line with model size, length of training, precision and device."""
    epochs = "1 epoch" if event.epochs == 1 else f"{event.epochs} epochs"
    return (
        f"{event.parameters:,} parameters, {epochs} of {event.steps_per_epoch} steps, "
        f"{event.precision} on {event.device}"
    )


def notice_line(event: Notice) -> str:
    """Return a notice as a line of text."""
    return f"warning: {event.message}" if event.level == "warning" else event.message
