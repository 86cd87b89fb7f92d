"""The display of a running run: a list of stages on a terminal, plain lines elsewhere."""

from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace

import pytest

from latentkit.cli import display as displays
from latentkit.cli import study_display as progress_module
from latentkit.cli.console import TerminalConsole
from latentkit.plugin.events import (
    BatchFinished,
    EpochFinished,
    Notice,
    RunPreparing,
    RunStarted,
    StageFinished,
    StageProgress,
    StageSkipped,
    StageStarted,
    StudyStarted,
    TrainingStarted,
)

STAGES = ("data", "train", "encode", "report")
TRAINING = TrainingStarted(
    epochs=4,
    first_epoch=0,
    steps_per_epoch=10,
    parameters=1_763_152,
    device="cpu",
    precision="float32",
)


def epoch_finished(epoch):
    return EpochFinished(
        epoch=epoch,
        epochs=4,
        train={"loss": 0.125},
        validation={"loss": 0.0625},
        learning_rate=1e-3,
        seconds=2.0,
    )


class Terminal:
    """A terminal with a given number of columns, and the display drawn on it."""

    def __init__(self, monkeypatch, columns):
        self.columns = columns
        self.written = StringIO()
        monkeypatch.setattr(displays, "TerminalConsole", self._console)
        self.display = displays.LiveDisplay()

    def _console(self, **_):
        return TerminalConsole(
            file=self.written, force_terminal=True, width=self.columns, height=24
        )

    @property
    def lines(self):
        """The lines of the stages that the terminal shows now, without colours."""
        paper = TerminalConsole(file=StringIO(), width=self.columns, height=24)
        paper.print(self.display._progress.get_renderable())
        return [line.rstrip() for line in paper.file.getvalue().splitlines()]


@pytest.fixture
def clock(monkeypatch):
    """Return a clock for both displays that only the test advances."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(displays, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture(params=[60, 80, 130])
def terminal(request, monkeypatch, clock):
    return Terminal(monkeypatch, request.param)


def begin(display):
    for event in (
        RunPreparing(STAGES),
        RunStarted("r", "runs/r", STAGES, False),
        StageStarted("data"),
        StageFinished("data", 0.1, 1),
        StageStarted("train"),
        TRAINING,
    ):
        display(event)


def test_each_stage_has_a_mark_for_its_state(terminal):
    with terminal.display as display:
        display(RunPreparing(STAGES))
        assert "loading packages and images" in " ".join(" ".join(terminal.lines).split())
        begin(display)
        marked = {line.split()[1]: line.split()[0] for line in terminal.lines if line[:1].strip()}
        assert list(marked) == list(STAGES)
        assert (marked["data"], marked["encode"], marked["report"]) == ("✓", "·", "·")
        assert marked["train"] not in "✓·"


def test_training_shows_its_losses_and_the_time_left(terminal, clock):
    with terminal.display as display:
        begin(display)
        clock.seconds += 3
        display(epoch_finished(1))
        display(BatchFinished(2, 5, 10, 0.25))
        shown = " ".join(" ".join(terminal.lines).split())
        # 15 of 40 steps in 3 seconds leave 5 more
        assert "ETA 0:05 epoch 2/4 train 0.2500 validation 0.0625" in shown


def test_resumed_training_counts_from_the_epoch_where_it_resumes(terminal, clock):
    with terminal.display as display:
        begin(display)
        display(TrainingStarted(**{**vars(TRAINING), "first_epoch": 2}))
        assert not any("ETA" in line for line in terminal.lines)
        clock.seconds += 4
        display(epoch_finished(3))
        assert any("ETA 0:04" in line for line in terminal.lines)


def test_names_and_times_are_never_cut(terminal):
    with terminal.display as display:
        begin(display)
        display(StageProgress("report", 3, 12, "a figure with a name that is rather long"))
        words = " ".join(terminal.lines).split()
        assert not any("…" in word for word in words)
        assert all(len(line) <= terminal.columns - len("^C") for line in terminal.lines)
        assert set(STAGES) <= set(words)


def test_a_warning_is_written_above_the_stages(terminal):
    with terminal.display as display:
        begin(display)
        display(Notice("x", "mind [this] gap"))
    assert "warning: mind [this] gap" in terminal.written.getvalue()


def test_stages_that_never_started_disappear_at_the_end(terminal):
    with terminal.display as display:
        begin(display)
        display(StageSkipped("encode"))
        assert any("already there" in line for line in terminal.lines)
    words = " ".join(terminal.lines).split()
    assert {"data", "train", "encode"} <= set(words)
    assert "report" not in words


def test_a_log_has_one_line_per_epoch_and_one_per_stage(clock, capsys):
    display = displays.PlainDisplay()
    begin(display)
    display(BatchFinished(1, 5, 10, 0.25))
    display(epoch_finished(1))
    display(StageSkipped("encode"))
    display(Notice("x", "look out"))
    assert capsys.readouterr().err.splitlines() == [
        "run runs/r",
        "data done in 0.1 s",
        "1,763,152 parameters, 4 epochs of 10 steps, float32 on cpu",
        "epoch 1/4  train 0.1250  validation 0.0625  2.0 s",
        "encode is already there",
        "latentkit: warning: look out",
    ]


def test_a_log_reports_the_progress_of_a_long_stage_twice_a_minute(clock, capsys):
    display = displays.PlainDisplay()
    for second in range(70):
        clock.seconds += 1
        display(StageProgress("embed:tsne", second, 70))
    assert len(capsys.readouterr().err.splitlines()) == 70 // 30


def test_quiet_prints_warnings_and_nothing_else(capsys):
    displays.warnings_only(epoch_finished(1))
    displays.warnings_only(Notice("x", "by the way", "info"))
    displays.warnings_only(Notice("x", "look out"))
    assert capsys.readouterr().err == "latentkit: warning: look out\n"


def test_python_gets_the_display_of_a_run_or_a_study(monkeypatch, capsys):
    shown = []

    def kind(name):
        @contextmanager
        def display():
            yield lambda event: shown.append((name, type(event).__name__))

        return display

    monkeypatch.setattr(progress_module, "progress_display", kind("run"))
    monkeypatch.setattr(progress_module, "study_display", kind("study"))
    with progress_module.progress() as listener:
        listener(Notice("x", "look out"))
        listener(RunPreparing(STAGES))
        listener(StageStarted("data"))
    with progress_module.progress() as listener:
        listener(StudyStarted("s", "studies/s", 2, ("loss",), ("minimize",)))
    assert shown == [
        ("run", "Notice"),
        ("run", "RunPreparing"),
        ("run", "StageStarted"),
        ("study", "StudyStarted"),
    ]
    with progress_module.progress() as listener:
        listener(Notice("x", "look out"))
    assert capsys.readouterr().err == "latentkit: warning: look out\n"
