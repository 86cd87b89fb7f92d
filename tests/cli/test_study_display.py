"""The table of trials, as shown on a recorded terminal."""

import sys
import time
from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace

import pytest

from latentkit.cli import study_display
from latentkit.cli.console import TerminalConsole
from latentkit.plugin.events import (
    BatchFinished,
    Notice,
    RunPreparing,
    RunStarted,
    StageStarted,
    StudyStarted,
    TrialFinished,
    TrialReported,
    TrialStarted,
)

PARAMS = {"model.activation": "leaky-relu", "training.learning_rate": 0.00123456}


class Terminal:
    """A terminal of 80 columns and 24 lines, and the display drawn on it."""

    def __init__(self):
        self.console = TerminalConsole(file=StringIO(), force_terminal=True, width=80, height=24)
        self.emit = None

    @property
    def written(self):
        """Everything written so far."""
        return self.console.file.getvalue()

    @property
    def lines(self):
        """The lines that the terminal shows now, without colours."""
        paper = TerminalConsole(file=StringIO(), width=self.console.width, height=24)
        paper.print(self.emit._draw())
        return [line.rstrip() for line in paper.file.getvalue().splitlines()]

    def row(self, number):
        """Return the words in the row of a trial."""
        (found,) = [line.split() for line in self.lines if line.split()[:1] == [str(number)]]
        return found


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that only the test advances."""
    now = SimpleNamespace(seconds=time.monotonic())
    monkeypatch.setattr(study_display, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def afterwards(monkeypatch):
    """Return the events that the display of a run receives, and whether it was closed."""
    run = SimpleNamespace(told=[], closed=False)

    @contextmanager
    def display():
        yield run.told.append
        run.closed = True

    monkeypatch.setattr(study_display, "progress_display", display)
    return run


@pytest.fixture
def terminal(monkeypatch, clock, afterwards):
    """Return a terminal that shows a study."""
    shown = Terminal()
    monkeypatch.setattr(study_display, "is_live", lambda: True)
    monkeypatch.setattr(study_display, "TerminalConsole", lambda **_: shown.console)
    with study_display.study_display() as shown.emit:
        yield shown


def begin(emit, trials=4, name="conv-ae-digits", objectives=("validation loss",), maximised=None):
    maximised = maximised or (False,) * len(objectives)
    emit(StudyStarted(name, f"studies/{name}", trials, objectives, maximised, 1))


def run_trial(emit, number, value, state="complete", epochs=6, of=6, seconds=3.0, **ended):
    emit(TrialStarted(number, PARAMS))
    emit(TrialReported(number, epochs, of, value))
    values = (value,) if state == "complete" else ()
    emit(TrialFinished(number, state, values, epochs, of, seconds, **ended))


def test_before_the_study_starts_the_display_shows_what_it_waits_for(terminal):
    assert terminal.lines == ["loading packages and images"]


def test_trials_are_counted_by_state(terminal):
    begin(terminal.emit, trials=6)
    run_trial(terminal.emit, 0, 0.5)
    run_trial(terminal.emit, 1, 0.7, "pruned", epochs=1)
    run_trial(terminal.emit, 2, 0.6, "failed", epochs=2, error="ValueError: no")
    terminal.emit(TrialStarted(3, PARAMS))
    head = terminal.lines[0]
    assert head.startswith("study conv-ae-digits")
    assert head.endswith("3/6  1 running  1 done  1 pruned  1 failed")
    assert terminal.row(1)[1] == "pruned"
    assert terminal.row(3)[1] == "running"
    assert "trial 2 failed: ValueError: no" in terminal.written


def test_the_row_of_a_trial_follows_its_epochs(terminal, clock):
    begin(terminal.emit)
    terminal.emit(TrialStarted(0, PARAMS))
    terminal.emit(TrialReported(0, 2, 6, 0.123456))
    clock.seconds += 75
    terminal.emit(BatchFinished(epoch=3, step=4, steps=12, loss=0.1))
    words = terminal.row(0)
    assert words[:4] == ["0", "running", "0.12346", "2/6"]
    assert words[4] in ("1:15", "1:14")
    assert terminal.lines[-1] == "epoch 3, step 4/12"


@pytest.mark.parametrize(("maximised", "best"), [(False, 1), (True, 2)])
def test_the_best_trial_is_marked(terminal, maximised, best):
    begin(terminal.emit, maximised=(maximised,))
    for number, value in enumerate((0.5, 0.25, 0.75)):
        run_trial(terminal.emit, number, value)
    run_trial(terminal.emit, 3, -1.0 if not maximised else 2.0, "pruned", epochs=1)
    assert [terminal.row(number)[1] == "best" for number in range(4)] == [
        number == best for number in range(4)
    ]
    assert f"best {(0.5, 0.25, 0.75)[best]} (trial {best})" in terminal.lines[1]


def test_the_best_trial_stays_visible_when_not_all_fit(terminal):
    begin(terminal.emit, trials=40)
    for number in range(30):
        run_trial(terminal.emit, number, 0.1 if number == 4 else 0.5)
    shown = [line.split()[0] for line in terminal.lines if line.split()[0].isdigit()]
    assert shown == ["4", *map(str, range(19, 30))]
    assert len(terminal.lines) < 24


def test_epochs_saved_by_pruning_are_summed(terminal):
    begin(terminal.emit)
    run_trial(terminal.emit, 0, 0.5)
    assert "saved" not in terminal.lines[1]
    run_trial(terminal.emit, 1, 0.7, "pruned", epochs=1)
    run_trial(terminal.emit, 2, 0.7, "pruned", epochs=3)
    assert "8 epochs saved by pruning" in terminal.lines[1]


def test_the_time_left_is_estimated_from_the_trials_of_this_command(terminal, clock):
    begin(terminal.emit, trials=4)
    run_trial(terminal.emit, 0, 0.5, earlier=True)
    clock.seconds += 30
    assert "to go" not in terminal.lines[1]
    run_trial(terminal.emit, 1, 0.6)
    assert terminal.lines[1].endswith("1:00 to go")
    run_trial(terminal.emit, 2, 0.6)
    run_trial(terminal.emit, 3, 0.6)
    assert "to go" not in terminal.lines[1]


@pytest.mark.parametrize("objectives", [1, 3])
def test_each_trial_fits_one_line_of_80_columns(terminal, objectives):
    labels = ("validation loss", "importance-weighted bound, nats", "10-NN accuracy")
    name = "conv-ae-fashion-mnist-of-tuesday"
    begin(terminal.emit, 120, name, labels[:objectives])
    many = {**PARAMS, "gaussian-noise.std": 0.25, "model.hidden": (512, 256, 128)}
    for number in range(100, 104):
        terminal.emit(TrialStarted(number, many))
        values = (0.123456, -123.456, 0.98765)[:objectives]
        terminal.emit(TrialFinished(number, "complete", values, 10, 10, 3600.0))
        run_trial(terminal.emit, number + 10, 0.7, "pruned", epochs=1, of=10)
    run_trial(terminal.emit, 119, 0.7, "failed", error="ValueError: no")
    terminal.emit(TrialStarted(118, many))
    lines = terminal.lines
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("study conv-ae-")
    assert lines[0].endswith("9/120  1 running  4 done  4 pruned  1 failed")
    rows = [line for line in lines if line.split()[0].isdigit()]
    assert len(rows) == 10
    first = rows.index(next(row for row in rows if row.startswith("  101")))
    assert lines[lines.index(rows[0]) :][: len(rows)] == rows
    assert "…" in rows[first]
    assert "1:00:00" in rows[first]
    assert "10/10" in rows[first]
    assert ("98765" in rows[first]) == (objectives == 3)


def test_notices_are_printed_above_the_table(terminal):
    begin(terminal.emit)
    terminal.emit(Notice("x", "the disk is [almost] full"))
    assert "warning: the disk is [almost] full" in terminal.written


def test_the_final_run_of_the_best_trial_has_its_own_display(terminal, afterwards):
    preparing, started = RunPreparing(("data", "train")), RunStarted("r", "runs/r", (), True)
    begin(terminal.emit, trials=1)
    terminal.emit(TrialStarted(0, PARAMS))
    terminal.emit(preparing)  # the event of the trial's run
    terminal.emit(StageStarted("train"))
    assert afterwards.told == []
    assert terminal.lines[-1] == "train"
    terminal.emit(TrialFinished(0, "complete", (0.5,), 6, 6, 3.0))
    terminal.emit(preparing)
    terminal.emit(started)
    assert afterwards.told == [preparing, started]
    assert not afterwards.closed
    assert "best" in terminal.written
    before = terminal.written
    terminal.emit.__exit__(None, None, None)
    assert afterwards.closed
    assert terminal.written == before


def test_without_a_terminal_the_final_run_is_reported_in_lines(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with study_display.study_display() as emit:
        begin(emit, trials=2)
        run_trial(emit, 0, 0.5, earlier=True)
        run_trial(emit, 1, 0.25, epochs=2)
        emit(RunPreparing(("data",)))
        emit(RunStarted("r", "runs/r", (), True))
    trial = "trial 1 complete  0.25  2/6 epochs  3.0 s  activation=leaky-relu learning_rate=0.00123"
    assert capsys.readouterr().err.splitlines() == [
        "study studies/conv-ae-digits: 2 trials for validation loss",
        f"{trial}  [2/2]  best 0.25 (trial 1)",
        "resuming runs/r",
    ]


def test_quiet_shows_warnings_only(capsys):
    with study_display.study_display(quiet=True) as emit:
        begin(emit)
        run_trial(emit, 0, 0.5)
        emit(Notice("x", "look here"))
        emit(Notice("y", "by the way", "info"))
    assert capsys.readouterr().err == "latentkit: warning: look here\n"
