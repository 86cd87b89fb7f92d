"""Progress on stderr: a live display on a terminal, one plain line per epoch elsewhere.

Only one object draws at a time; all other code only sends events.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from latentkit.cli import streams
from latentkit.cli.console import TerminalConsole
from latentkit.plugin import events
from latentkit.terminal import in_one_line

_SECONDS_BETWEEN_LINES = 30


class PlainDisplay:
    """One flushed line per epoch and stage, without control characters.

    A long stage prints its progress twice a minute.
    """

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __call__(self, event: events.Event) -> None:
        """Print the line of an event, if it has one."""
        now = time.monotonic()
        if isinstance(event, events.StageProgress) and now - self._shown < _SECONDS_BETWEEN_LINES:
            return
        if line := _plain_line(event):
            self._shown = now
            say(line)


def say(line: str) -> None:
    """Print a line to stderr; drop it if nobody can read stderr, because the run goes on."""
    out = streams.messages(sys.stderr)
    out.write(f"{in_one_line(line)}\n")
    out.flush()


def _plain_line(event: events.Event) -> str | None:
    """Return an event's line in a log, or None."""
    match event:
        case events.EpochFinished():
            shown = losses(event)
            return f"epoch {event.epoch}/{event.epochs}  {shown}  {event.seconds:.1f} s"
        case events.RunStarted():
            return f"{'resuming' if event.resumed else 'run'} {event.path}"
        case events.TrainingStarted():
            return training_line(event)
        case events.StageProgress():
            return f"{event.stage} {event.done}/{event.total or '?'}  {event.detail}".rstrip()
        case events.StageFinished():
            return f"{event.stage} done in {event.seconds:.1f} s"
        case events.StageSkipped():
            return f"{event.stage} is already there"
        case events.Notice():
            return notice_line(event)
    return None


def warnings_only(event: events.Event) -> None:
    """Print warnings and nothing else."""
    if isinstance(event, events.Notice) and event.level == "warning":
        say(notice_line(event))


def losses(event: events.EpochFinished) -> str:
    """Return the losses of an epoch as text."""
    return f"train {event.train['loss']:.4f}  validation {event.validation['loss']:.4f}"


def training_line(event: events.TrainingStarted) -> str:
    """Return a line with model size, length of training, precision and device."""
    epochs = "1 epoch" if event.epochs == 1 else f"{event.epochs} epochs"
    return (
        f"{event.parameters:,} parameters, {epochs} of {event.steps_per_epoch} steps, "
        f"{event.precision} on {event.device}"
    )


def notice_line(event: events.Notice) -> str:
    """Return a notice as a line of text."""
    return f"latentkit: warning: {event.message}" if event.level == "warning" else event.message


_NAME_WIDTH = 16
_WIDE = 110  # columns; from this width on there is room for a long bar
_BAR, _SHORT_BAR = 24, 6


class LiveDisplay:
    """A list of stages; the current one has a bar, and training shows losses and time left."""

    def __init__(self) -> None:
        self._console = TerminalConsole(file=streams.messages(sys.stderr))
        self._progress = _Stages(
            _StateColumn(table_column=_whole()),
            TextColumn("{task.description}", style="bold", markup=False, table_column=_whole()),
            BarColumn(
                bar_width=_BAR if self._console.width >= _WIDE else _SHORT_BAR,
                style="bright_black",  # rich's default grey suits only dark terminals
            ),
            TimeElapsedColumn(table_column=_whole()),
            _EtaColumn(table_column=_whole()),
            # Wrapped, not cut.
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column()),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._training = _TrainingClock()
        self._handlers: dict[type[events.Event], Callable[..., None]] = {
            events.RunPreparing: self._prepare,
            events.RunStarted: self._run_started,
            events.StageStarted: self._stage_started,
            events.StageSkipped: self._stage_skipped,
            events.StageProgress: self._stage_progress,
            events.StageFinished: self._stage_finished,
            events.TrainingStarted: self._training_started,
            events.BatchFinished: self._batch,
            events.EpochFinished: self._epoch,
            events.Notice: self._notice,
        }

    def __enter__(self) -> LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for task in self._progress.tasks:
            if not task.finished:  # hide stages that never started
                self._progress.update(task.id, visible=task.started)
                self._progress.stop_task(task.id)
        self._progress.stop()

    def __call__(self, event: events.Event) -> None:
        """Update the display for an event, if it concerns the display."""
        if handler := self._handlers.get(type(event)):
            handler(event)

    def _prepare(self, event: events.RunPreparing) -> None:
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks = {name: self._add(name) for name in event.stages}
        if event.stages:
            self._begin(event.stages[0], "loading packages and images")

    def _run_started(self, event: events.RunStarted) -> None:
        line = f"{'resuming' if event.resumed else 'run'} {event.path}"
        self._console.print(in_one_line(line), style="dim")

    def _stage_started(self, event: events.StageStarted) -> None:
        self._begin(event.stage, "")

    def _begin(self, stage: str, detail: str) -> None:
        task = self._task(stage)
        if not self._progress.tasks[self._progress.task_ids.index(task)].started:
            self._progress.start_task(task)
        self._progress.update(task, detail=detail)

    def _stage_skipped(self, event: events.StageSkipped) -> None:
        task = self._task(event.stage)
        self._progress.start_task(task)
        self._progress.update(task, total=1, completed=1, detail="already there")

    def _stage_progress(self, event: events.StageProgress) -> None:
        self._progress.update(
            self._task(event.stage),
            total=event.total or None,
            completed=event.done,
            detail=event.detail,
        )

    def _stage_finished(self, event: events.StageFinished) -> None:
        task = self._task(event.stage)
        if event.stage == "train":
            self._progress.update(task, total=1, completed=1)
        else:
            self._progress.update(task, total=1, completed=1, detail="")

    def _training_started(self, event: events.TrainingStarted) -> None:
        self._training.start(event)
        self._progress.update(
            self._task("train"),
            total=event.epochs * event.steps_per_epoch,
            completed=event.first_epoch * event.steps_per_epoch,
            detail=training_line(event),
            clock=self._training,
        )

    def _batch(self, event: events.BatchFinished) -> None:
        done = (event.epoch - 1) * event.steps + event.step
        self._training.done = done
        detail = f"epoch {event.epoch}/{self._training.epochs}  train {event.loss:.4f}"
        if self._training.validation is not None:
            detail += f"  validation {self._training.validation:.4f}"
        self._progress.update(self._task("train"), completed=done, detail=detail)

    def _epoch(self, event: events.EpochFinished) -> None:
        self._training.validation = event.validation["loss"]
        self._training.done = event.epoch * self._training.steps
        self._progress.update(
            self._task("train"),
            completed=self._training.done,
            detail=f"epoch {event.epoch}/{event.epochs}  {losses(event)}",
        )

    def _notice(self, event: events.Notice) -> None:
        style = "yellow" if event.level == "warning" else "cyan"
        self._console.print(in_one_line(notice_line(event)), style=style)

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            self._tasks[stage] = self._add(stage)
        return self._tasks[stage]

    def _add(self, stage: str) -> TaskID:
        name = in_one_line(stage).ljust(_NAME_WIDTH)
        return self._progress.add_task(name, start=False, total=None, detail="")


def with_room_for_interrupt(drawn: RenderableType, console: Console) -> RenderableType:
    """Keep the last columns free, because the terminal shows ``^C`` there.

    Otherwise ``^C`` starts a new line, and the next drawing is one line too low.
    """
    return Constrain(drawn, console.width - len("^C"))


class _Stages(Progress):
    """Progress bars that leave room for ``^C``."""

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        self._terminal = console  # rich draws before it sets `console`
        super().__init__(*columns, console=console, transient=False)

    def get_renderable(self) -> RenderableType:
        return with_room_for_interrupt(super().get_renderable(), self._terminal)


def _whole() -> Column:
    """Return a column that never wraps; if space is short, the detail wraps instead."""
    return Column(no_wrap=True)


class _TrainingClock:
    """The pace of training, to estimate the time left."""

    def __init__(self) -> None:
        self.epochs = self.steps = self.done = self._first = 0
        self.validation: float | None = None
        self._since = 0.0

    def start(self, event: events.TrainingStarted) -> None:
        """Start the clock at the first step that is left to do."""
        self.epochs, self.steps = event.epochs, event.steps_per_epoch
        self.done = self._first = event.first_epoch * event.steps_per_epoch
        self._since = time.monotonic()

    def seconds_left(self) -> float | None:
        """Return the time left at the mean pace so far, or None before the first step."""
        steps = self.done - self._first
        if not steps:
            return None
        pace = (time.monotonic() - self._since) / steps
        return pace * (self.epochs * self.steps - self.done)


class _StateColumn(SpinnerColumn):
    """A dot before a stage, a spinner during it, a tick after it."""

    def render(self, task: Task) -> RenderableType:
        if task.finished:
            return Text("✓", style="green")
        if not task.started:
            return Text("·", style="dim")
        return super().render(task)


class _EtaColumn(ProgressColumn):
    """The time left, if it is known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        clock = task.fields.get("clock")
        left = clock.seconds_left() if clock and not task.finished else None
        return Text("" if left is None else f"ETA {int(left // 60)}:{int(left % 60):02d}")


@contextmanager
def progress_display(quiet: bool = False) -> Iterator[events.Listener]:
    """Show the progress of a run until the block ends.

    Args:
        quiet: show only warnings.
    """
    if quiet:
        yield warnings_only
    elif is_live():
        with LiveDisplay() as display:
            yield display
    else:
        yield PlainDisplay()


_DRAWN = "✓·━⠋"  # bars and spinners consist of such characters


def is_live() -> bool:
    """Return whether stderr is a terminal that can show a display and redraw its lines."""
    off = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    if sys.stderr is None or off or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty():
        return False
    try:
        _DRAWN.encode(sys.stderr.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
