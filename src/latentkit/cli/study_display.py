"""Progress of a study on stderr: a live table on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from latentkit.cli.display import (
    PlainDisplay,
    is_live,
    notice_line,
    progress_display,
    warnings_only,
)
from latentkit.plugin.events import (
    BatchFinished,
    Event,
    Listener,
    Notice,
    RunPreparing,
    StageStarted,
    StudyStarted,
    TrialFinished,
    TrialReported,
    TrialStarted,
)
from latentkit.plugin.options import option_text

_MOST_ROWS = 12
_BAR, _LEAST_BAR, _GAP = 24, 4, 2
_VALUE_WIDTH = 12
_STYLES = {"complete": "green", "pruned": "dim", "failed": "red", "running": "bold"}


@contextmanager
def study_display(quiet: bool = False) -> Iterator[Listener]:
    """Show what a study reports, until the block ends.

    Args:
        quiet: show nothing but warnings.
    """
    if quiet:
        yield warnings_only
    elif is_live():
        with _LiveStudy() as display:
            yield display
    else:
        yield _PlainStudy()


@dataclass
class _Row:
    """A trial as it is shown."""

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
        return "  ".join(f"{value:.5g}" for value in self.values)

    def value_texts(self, objectives: int) -> list[str]:
        """Return a text for each objective, empty where there is no value yet."""
        known = [f"{value:.5g}" for value in self.values]
        return [*known, *[""] * (objectives - len(known))]

    @property
    def epochs_text(self) -> str:
        return f"{self.epoch}/{self.epochs}" if self.epochs else str(self.epoch)

    @property
    def params_text(self) -> str:
        return " ".join(
            f"{_short(key)}={option_text(value, 3)}" for key, value in self.params.items()
        )


class _Tally:
    """What is known of the trials of a study, from its events."""

    def __init__(self) -> None:
        self.study: StudyStarted | None = None
        self.rows: dict[int, _Row] = {}
        self._began = time.monotonic()
        self._ended_here = 0

    def take(self, event: Event) -> _Row | None:
        """Take an event in; returns the trial it is about."""
        match event:
            case StudyStarted():
                self.study = event
            case TrialStarted():
                self.rows[event.number] = _Row(event.number, event.params)
                return self.rows[event.number]
            case TrialReported():
                row = self.rows[event.number]
                row.epoch, row.values = event.epoch, (event.value,)
                row.epochs = event.epochs or row.epochs
                return row
            case TrialFinished():
                row = self.rows[event.number]
                row.state, row.error, row.seconds = event.state, event.error, event.seconds
                row.epoch, row.epochs = event.epochs, event.of_epochs
                row.values = event.values or row.values
                self._ended_here += not event.earlier
                return row
        return None

    @property
    def all(self) -> list[_Row]:
        """The trials, in a list of their own: the table is drawn in a thread of its own."""
        return list(self.rows.values())

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.all)

    @property
    def best(self) -> _Row | None:
        """The completed trial that is best by the first objective."""
        done = [row for row in self.all if row.state == "complete" and row.values]
        sign = -1 if self.study and self.study.maximised[0] else 1
        return min(done, key=lambda row: sign * row.values[0], default=None)

    @property
    def finished(self) -> int:
        return len(self.rows) - self.count("running")

    @property
    def is_over(self) -> bool:
        """Whether trials ended and none is running: a run that begins is no trial."""
        return bool(self.rows) and not self.count("running")

    @property
    def saved_epochs(self) -> int:
        """Epochs that pruning made needless."""
        return sum(row.epochs - row.epoch for row in self.all if row.state == "pruned")

    @property
    def seconds_to_go(self) -> float | None:
        """A guess out of the trials that ended while this was watching."""
        if self.study is None or not self._ended_here:
            return None
        each = (time.monotonic() - self._began) / self._ended_here
        return each * max(0, self.study.trials - self.finished)

    def summary(self) -> str:
        """Say in a line how far the study is."""
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


class _PlainStudy:
    """One line for each trial that ends, without a control character."""

    def __init__(self) -> None:
        self._tally = _Tally()
        self._tell_after: Listener | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunPreparing) and self._tally.is_over:
            self._tell_after = PlainDisplay()
        if self._tell_after is not None:
            self._tell_after(event)
            return
        row = self._tally.take(event)
        match event:
            case StudyStarted():
                _say(f"study {event.path}: {event.trials} trials for {', '.join(event.objectives)}")
            case Notice():
                _say(notice_line(event))
            case TrialFinished(earlier=False) if row is not None:
                _say(self._line(row))

    def _line(self, row: _Row) -> str:
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
    """A table of trials; once the study is over, the run that is made whole has its own display."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._tally = _Tally()
        self._doing = ""
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=4, transient=False
        )
        self._after: Any = None
        self._tell_after: Listener | None = None

    def __enter__(self) -> _LiveStudy:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._doing = ""
        self._live.stop()
        if self._after is not None:
            self._after.__exit__(*exc_info)

    def __call__(self, event: Event) -> None:
        if self._tell_after is not None:
            self._tell_after(event)
            return
        row = self._tally.take(event)
        match event:
            case Notice():
                self._say(notice_line(event), "yellow" if event.level == "warning" else "cyan")
            case StageStarted() if self._tally.count("running"):
                self._doing = event.stage
            case BatchFinished():
                self._doing = f"epoch {event.epoch}, step {event.step}/{event.steps}"
            case RunPreparing() if self._tally.is_over:
                self._hand_over(event)
        if isinstance(event, TrialFinished) and row is not None and row.state == "failed":
            self._say(f"trial {row.number} failed: {row.error}", "red")

    def _say(self, line: str, style: str) -> None:
        """Print a line above the table."""
        self._console.print(line, style=style, soft_wrap=True, markup=False, highlight=False)

    def _hand_over(self, event: Event) -> None:
        """Leave the table standing, and show the run that comes after it."""
        self._doing = ""
        self._live.stop()
        self._after = progress_display()
        self._tell_after = self._after.__enter__()
        self._tell_after(event)

    def _draw(self) -> RenderableType:
        study, tally = self._tally.study, self._tally
        if study is None:
            return Text("loading packages and images", style="dim")
        parts: list[RenderableType] = [self._head(study), self._table(study.objectives)]
        if self._doing:
            parts.append(Text(self._doing, style="dim"))
        return Group(*parts) if tally.rows else Group(parts[0])

    def _head(self, study: StudyStarted) -> RenderableType:
        tally = self._tally
        counts = f"{tally.finished}/{study.trials}  {tally.summary()}"
        room = self._console.width - len(counts) - 2 * _GAP
        name = Text(f"study {study.study}", style="bold", no_wrap=True)
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
                Text(row.params_text, no_wrap=True, overflow="ellipsis"),
                style="bold green" if row is best else _STYLES.get(row.state, ""),
            )
        return table

    def _shown(self) -> list[_Row]:
        """Return the trials that there is room for: the best, and the latest."""
        rows = self._tally.all
        room = max(3, min(_MOST_ROWS, self._console.height - 8))
        latest = rows[-room:]
        best = self._tally.best
        if best is not None and best not in latest:
            latest = [best, *latest[1:]]
        return latest


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(key: str) -> str:
    return key.rpartition(".")[2]
