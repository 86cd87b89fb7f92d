"""What is known of a study while it runs, out of its events."""

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
        """Its values in a line; while it runs, the last that it reported."""
        return "  ".join(f"{value:.5g}" for value in self.values)

    def value_texts(self, objectives: int) -> list[str]:
        """Return a text for each objective, empty where there is no value yet."""
        known = [f"{value:.5g}" for value in self.values]
        return [*known, *[""] * (objectives - len(known))]

    @property
    def epochs_text(self) -> str:
        """How many epochs are done, of how many."""
        return f"{self.epoch}/{self.epochs}" if self.epochs else str(self.epoch)

    @property
    def params_text(self) -> str:
        """What it tries, the parts' names left out."""
        return " ".join(
            f"{short_name(key)}={option_text(value, 3)}" for key, value in self.params.items()
        )


class StudyTally:
    """What is known of the trials of a study, from its events."""

    def __init__(self) -> None:
        self.study: StudyStarted | None = None
        self.rows: dict[int, TrialRow] = {}
        self._began = time.monotonic()
        self._ended_here = 0

    def take(self, event: Event) -> TrialRow | None:
        """Take an event in; returns the trial it is about."""
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
        """The trials, in a list of their own: the table is drawn in a thread of its own."""
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
        """How many trials came to an end, whichever."""
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


def short_name(key: str) -> str:
    """Return an option's name without its part's."""
    return key.rpartition(".")[2]
