"""The state of a running study, collected from its events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from latentkit.plugin.events import (
    Event,
    StudyStarted,
    TrialFinished,
    TrialReported,
    TrialStarted,
)
from latentkit.plugin.options import option_text


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
        return " ".join(
            f"{short_name(key)}={option_text(value, 3)}" for key, value in self.params.items()
        )


class StudyTally:
    """The trials of a study, collected from its events."""

    def __init__(self) -> None:
        self.study: StudyStarted | None = None
        self.rows: dict[int, TrialRow] = {}
        self._began = time.monotonic()
        self._ended_here = 0

    def take(self, event: Event) -> TrialRow | None:
        """Process an event, and return its trial, if any."""
        match event:
            case StudyStarted():
                self.study = event
            case TrialStarted():
                self.rows[event.number] = TrialRow(event.number, event.params)
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
