"""Progress of a study on stderr: a live table on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from latentkit.cli.display import is_live, progress_display
from latentkit.cli.live_display import with_room_for_interrupt
from latentkit.cli.plain_display import PlainDisplay, notice_line, warnings_only
from latentkit.cli.study_tally import StudyTally, TrialRow
from latentkit.plugin.events import (
    BatchFinished,
    Event,
    Listener,
    Notice,
    RunPreparing,
    StageStarted,
    StudyStarted,
    TrialFinished,
)

_MOST_ROWS = 12
_BAR, _LEAST_BAR, _GAP = 24, 4, 2
_VALUE_WIDTH = 12
_STYLES = {"complete": "green", "pruned": "dim", "failed": "red", "running": "bold"}


@contextmanager
def study_display(quiet: bool = False) -> Iterator[Listener]:
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
                trials = "1 trial" if event.trials == 1 else f"{event.trials} trials"
                _say(f"study {event.path}: {trials} for {', '.join(event.objectives)}")
            case Notice():
                _say(notice_line(event))
            case TrialFinished(earlier=False) if row is not None:
                _say(self._line(row))

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
        self._console = Console(stderr=True)
        self._tally = StudyTally()
        self._doing = ""
        self._live = Live(
            console=self._console,
            get_renderable=lambda: with_room_for_interrupt(self._draw(), self._console),
            refresh_per_second=4,
            transient=False,
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
        self._console.print(line, style=style, markup=False, highlight=False)

    def _hand_over(self, event: Event) -> None:
        """Freeze the table, and show the run that follows it."""
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

    def _shown(self) -> list[TrialRow]:
        """Return the trials that fit on the screen: the best and the latest."""
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
