"""Progress of a study on stderr: a live table on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from latentkit.cli import shared_options
from latentkit.cli.console import TerminalConsole
from latentkit.cli.display import (
    PlainDisplay,
    is_live,
    notice_line,
    progress_display,
    say,
    warnings_only,
    with_room_for_interrupt,
)
from latentkit.cli.streams import messages
from latentkit.plugin import events
from latentkit.plugin.options import option_text
from latentkit.terminal import in_one_line


@dataclass
class TrialRow:
    """A trial as the display shows it."""

    number: int
    params: Mapping[str, Any]
    state: str = "running"
    values: tuple[float, ...] = ()
    epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def value_text(self) -> str:
        """The trial's values as text; while it runs, the value that it last reported."""
        return "  ".join(f"{value:.5g}" for value in self.values)

    def value_texts(self, objectives: int) -> list[str]:
        """Return a text for each objective, empty if there is no value yet."""
        known = [f"{value:.5g}" for value in self.values]
        return [*known, *[""] * (objectives - len(known))]

    @property
    def epochs_text(self) -> str:
        """Epochs done, and the total if it is known."""
        return f"{self.epoch}/{self.epochs}" if self.epochs else str(self.epoch)

    @property
    def params_text(self) -> str:
        """The trial's options, without the names of parts."""
        return in_one_line(
            " ".join(
                f"{short_name(key)}={option_text(value, 3)}" for key, value in self.params.items()
            )
        )


class StudyTally:
    """The trials of a study, collected from its events."""

    def __init__(self) -> None:
        self.study: events.StudyStarted | None = None
        self.rows: dict[int, TrialRow] = {}
        self._began = time.monotonic()
        self._ended_here = 0

    def take(self, event: events.Event) -> TrialRow | None:
        """Process an event, and return its trial, if any."""
        match event:
            case events.StudyStarted():
                self.study = event
            case events.TrialStarted():
                self.rows[event.number] = TrialRow(event.number, event.params)
                return self.rows[event.number]
            case events.TrialReported():
                row = self.rows[event.number]
                row.epoch, row.values = event.epoch, (event.value,)
                row.epochs = event.epochs or row.epochs
                return row
            case events.TrialFinished():
                row = self.rows[event.number]
                row.state, row.seconds = event.state, event.seconds
                row.error = in_one_line(event.error)
                row.epoch, row.epochs = event.epochs, event.of_epochs
                row.values = event.values or row.values
                self._ended_here += not event.earlier
                return row
        return None

    @property
    def all(self) -> list[TrialRow]:
        """A copy of the list of trials, because another thread draws the table."""
        return list(self.rows.values())

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(row.state == state for row in self.all)

    @property
    def best(self) -> TrialRow | None:
        """The completed trial that is best by the first objective."""
        done = [row for row in self.all if row.state == "complete" and row.values]
        sign = -1 if self.study and self.study.maximised[0] else 1
        return min(done, key=lambda row: sign * row.values[0], default=None)

    @property
    def finished(self) -> int:
        """How many trials ended, in any state."""
        return len(self.rows) - self.count("running")

    @property
    def is_over(self) -> bool:
        """Whether trials ended and none is running, so that the next run is not a trial."""
        return bool(self.rows) and not self.count("running")

    @property
    def saved_epochs(self) -> int:
        """Number of epochs that pruning saved."""
        return sum(row.epochs - row.epoch for row in self.all if row.state == "pruned")

    @property
    def seconds_to_go(self) -> float | None:
        """An estimate from the trials that ended while this object was watching."""
        if self.study is None or not self._ended_here:
            return None
        each = (time.monotonic() - self._began) / self._ended_here
        return each * max(0, self.study.trials - self.finished)

    def summary(self) -> str:
        """Return one line with the number of trials in each state."""
        return "  ".join(
            f"{count} {name}"
            for name, count in (
                ("running", self.count("running")),
                ("done", self.count("complete")),
                ("pruned", self.count("pruned")),
                ("failed", self.count("failed")),
            )
            if count or name == "done"
        )


def short_name(key: str) -> str:
    """Return an option's name without the part's name."""
    return key.rpartition(".")[2]


_MOST_ROWS = 12
_BAR, _LEAST_BAR, _GAP = 24, 4, 2
_VALUE_WIDTH = 12
_STYLES = {"complete": "green", "pruned": "dim", "failed": "red", "running": "bold"}


@contextmanager
def study_display(quiet: bool = False) -> Iterator[events.Listener]:
    """Show the progress of a study until the block ends.

    Args:
        quiet: show only warnings.
    """
    if quiet:
        yield warnings_only
    elif is_live():
        with _LiveStudy() as display:
            yield display
    else:
        yield _PlainStudy()


class _PlainStudy:
    """One line per finished trial, without control characters."""

    def __init__(self) -> None:
        self._tally = StudyTally()
        self._emit_after: events.Listener | None = None

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunPreparing) and self._tally.is_over:
            self._emit_after = PlainDisplay()
        if self._emit_after is not None:
            self._emit_after(event)
            return
        row = self._tally.take(event)
        match event:
            case events.StudyStarted():
                trials = "1 trial" if event.trials == 1 else f"{event.trials} trials"
                path = shared_options.near_path(event.path)
                say(f"study {path}: {trials} for {', '.join(event.objectives)}")
            case events.Notice():
                say(notice_line(event))
            case events.TrialFinished(earlier=False) if row is not None:
                say(self._line(row))

    def _line(self, row: TrialRow) -> str:
        total = self._tally.study.trials if self._tally.study else "?"
        best = self._tally.best
        text = f"trial {row.number} {row.state}"
        if row.values:
            text += f"  {row.value_text}"
        text += f"  {row.epochs_text} epochs  {row.seconds:.1f} s  {row.params_text}"
        if row.error:
            text += f"  ({row.error})"
        so_far = f"  best {best.values[0]:.5g} (trial {best.number})" if best else ""
        return f"{text}  [{self._tally.finished}/{total}]{so_far}"


class _LiveStudy:
    """A live table of trials; after the study, the best run's completion has its own display."""

    def __init__(self) -> None:
        self._console = TerminalConsole(file=messages(sys.stderr))
        self._tally = StudyTally()
        self._doing = ""
        self._live = Live(
            console=self._console,
            get_renderable=lambda: with_room_for_interrupt(self._draw(), self._console),
            refresh_per_second=4,
            transient=False,
        )
        self._after: Any = None
        self._emit_after: events.Listener | None = None

    def __enter__(self) -> _LiveStudy:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._doing = ""
        self._live.stop()
        if self._after is not None:
            self._after.__exit__(*exc_info)

    def __call__(self, event: events.Event) -> None:
        if self._emit_after is not None:
            self._emit_after(event)
            return
        row = self._tally.take(event)
        match event:
            case events.Notice():
                self._say(notice_line(event), "yellow" if event.level == "warning" else "cyan")
            case events.StageStarted() if self._tally.count("running"):
                self._doing = event.stage
            case events.BatchFinished():
                self._doing = f"epoch {event.epoch}, step {event.step}/{event.steps}"
            case events.RunPreparing() if self._tally.is_over:
                self._hand_over(event)
        if isinstance(event, events.TrialFinished) and row is not None and row.state == "failed":
            self._say(f"trial {row.number} failed: {row.error}", "red")

    def _say(self, line: str, style: str) -> None:
        """Print a line above the table."""
        self._console.print(in_one_line(line), style=style)

    def _hand_over(self, event: events.Event) -> None:
        """Freeze the table, and show the run that follows it."""
        self._doing = ""
        self._live.stop()
        self._after = progress_display()
        self._emit_after = self._after.__enter__()
        self._emit_after(event)

    def _draw(self) -> RenderableType:
        study, tally = self._tally.study, self._tally
        if study is None:
            return Text("loading packages and images", style="dim")
        parts: list[RenderableType] = [self._head(study), self._table(study.objectives)]
        if self._doing:
            parts.append(Text(self._doing, style="dim"))
        return Group(*parts) if tally.rows else Group(parts[0])

    def _head(self, study: events.StudyStarted) -> RenderableType:
        tally = self._tally
        counts = f"{tally.finished}/{study.trials}  {tally.summary()}"
        room = self._console.width - len(counts) - 2 * _GAP
        name = Text(in_one_line(f"study {study.study}"), style="bold", no_wrap=True)
        name.truncate(max(1, room - _LEAST_BAR), overflow="ellipsis")
        width = max(_LEAST_BAR, min(_BAR, room - name.cell_len))
        head = Table.grid(padding=(0, _GAP))
        bar = ProgressBar(study.trials, tally.finished, width=width, style="bright_black")
        head.add_row(name, bar, Text(counts))
        more = []
        if best := tally.best:
            more.append(f"best {best.value_text} (trial {best.number})")
        if tally.saved_epochs:
            more.append(f"{tally.saved_epochs} epochs saved by pruning")
        left = tally.seconds_to_go
        if left:
            more.append(f"{_clock(left)} to go")
        return Group(head, Text("  ".join(more), style="cyan")) if more else head

    def _table(self, objectives: Sequence[str]) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for objective in objectives:
            table.add_column(objective, justify="right", max_width=_VALUE_WIDTH)
        table.add_column("epochs", justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("options")
        best = self._tally.best
        for row in self._shown():
            seconds = row.seconds or time.monotonic() - row.began
            state = "best" if row is best else row.state
            table.add_row(
                str(row.number),
                state,
                *row.value_texts(len(objectives)),
                row.epochs_text,
                _clock(seconds),
                Text(in_one_line(row.params_text), no_wrap=True, overflow="ellipsis"),
                style="bold green" if row is best else _STYLES.get(row.state, ""),
            )
        return table

    def _shown(self) -> list[TrialRow]:
        """Return the trials that fit on the screen: the best and the latest."""
        rows = self._tally.all
        room = max(3, min(_MOST_ROWS, self._console.height - 8))
        latest = rows[-room:]
        best = self._tally.best
        if best is not None and best not in latest:
            latest = [best, *latest[1:]]
        return latest


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


Display = Callable[[], AbstractContextManager[events.Listener]]


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[events.Listener]:
    """Show the progress of `run`, `embed`, `transfer`, `tune` etc. on stderr, as the commands do.

    On a terminal, a live display shows stages, bars, losses and the time left, or for a study the
    table of its trials. Elsewhere, e.g. in a notebook, each epoch, stage or trial prints one line.

    Args:
        quiet: show only warnings.

    Returns:
        A context manager that gives a listener. Pass it as ``listener`` to one call after the
        other. Only one display can be live at a time.

    Raises:
        rich.errors.LiveError: another live display of rich is active.

    Example:
        >>> import latentkit as lk
        >>> with lk.progress() as listener:
        ...     run = lk.run(epochs=1, listener=listener)
        >>> run.status
        'finished'
    """
    with ExitStack() as displays:
        yield warnings_only if quiet else _Chooser(displays)


class _Chooser:
    """A listener that opens the display of a study or of a run, as events require."""

    def __init__(self, displays: ExitStack) -> None:
        self._displays = displays
        self._early: list[events.Event] = []
        self._show: events.Listener | None = None
        displays.callback(self._emit_rest)

    def __call__(self, event: events.Event) -> None:
        """Show an event; early notices wait until a run or a study starts."""
        if self._show is not None:
            self._show(event)
            return
        self._early.append(event)
        if not isinstance(event, events.Notice):
            self._open(
                study_display if isinstance(event, events.StudyStarted) else progress_display
            )

    def _open(self, display: Display) -> None:
        self._show = self._displays.enter_context(display())
        for event in self._early:
            self._show(event)

    def _emit_rest(self) -> None:
        """Show early notices if no run or study started."""
        if self._show is None:
            for event in self._early:
                warnings_only(event)
