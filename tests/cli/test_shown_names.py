"""Names from files reach the terminal as text: no control sequences, no markup."""

import io
import shlex
import warnings
from pathlib import Path

import pytest
from rich.table import Table

from latentkit import errors
from latentkit.api.kinds import AUTOENCODER, TRANSFER
from latentkit.cli import display, outcome, shared_options, study_display
from latentkit.cli.console import TerminalConsole
from latentkit.plugin import events
from latentkit.report import page

pytestmark = pytest.mark.early
EVIL = "\x1b]0;owned\x07\x9b2J\u202e[red]x[/red] [link=http://a]b[/link]"
SHOWN = r"\x1b]0;owned\x07\x9b2J\u202e[red]x[/red] [link=http://a]b[/link]"


@pytest.fixture
def terminal(monkeypatch):
    """Let displays draw on a terminal, and return what they wrote."""
    written = io.StringIO()

    def console(**_):
        return TerminalConsole(file=written, force_terminal=True, width=200, color_system=None)

    monkeypatch.setattr(display, "TerminalConsole", console)
    monkeypatch.setattr(study_display, "TerminalConsole", console)
    return written


def assert_is_text(written):
    assert SHOWN in written
    for control in ("\x1b]0", "\x07", "\x9b", "\u202e"):
        assert control not in written


def test_a_table_shows_a_name_as_it_is_and_keeps_all_of_it():
    written = io.StringIO()
    table = Table(EVIL, box=None)
    table.add_row(EVIL)
    TerminalConsole(file=written, width=200).print(table, EVIL)
    assert written.getvalue().count(SHOWN) == 3
    assert_is_text(written.getvalue())


def test_the_progress_of_a_run_shows_names_as_they_are(terminal):
    with display.LiveDisplay() as shown:
        shown(events.RunStarted("x", EVIL, (), resumed=False))
    assert_is_text(terminal.getvalue())
    with display.LiveDisplay() as shown:
        shown(events.StageStarted(EVIL))
        shown(events.StageProgress(EVIL, 1, 2, EVIL))
    assert_is_text(terminal.getvalue())


def test_the_progress_of_a_study_shows_names_as_they_are(terminal, monkeypatch):
    monkeypatch.setattr(study_display, "is_live", lambda: True)
    with study_display.study_display() as shown:
        shown(events.StudyStarted(EVIL, EVIL, 1, (EVIL,), (False,)))
        shown(events.TrialStarted(0, {f"model.{EVIL}": EVIL}))
        shown(events.Notice("x", EVIL))
    assert_is_text(terminal.getvalue())


def test_plain_progress_warnings_and_errors_show_names_as_they_are(capsys):
    display.PlainDisplay()(events.RunStarted("x", EVIL, (), resumed=False))
    display.warnings_only(events.Notice("x", EVIL))
    shared_options._fail(EVIL, 2)
    shared_options._show_warning(EVIL, UserWarning, shared_options.__file__, 1)
    shared_options._show_warning(EVIL, UserWarning, "other.py", 1)
    written = capsys.readouterr().err
    assert written.count(SHOWN) >= 5
    assert_is_text(written)


def test_a_list_of_runs_shows_names_of_folders_as_they_are(latentkit):
    name = EVIL.replace("/", "|")
    try:
        Path("runs", name).mkdir(parents=True)
    except OSError:
        pytest.skip("this system has no such names")
    Path("runs", name, "run.json").write_text("{")
    for arguments in (("runs",), ("runs", "--json"), ("runs", name)):
        ended = latentkit(*arguments)
        for control in ("\x1b", "\x07", "\x9b", "\u202e"):
            assert control not in ended.out + ended.err


@pytest.mark.parametrize("name", ["a b", "a  b", "'; rm -rf ~", "$(x)"])
def test_suggested_commands_are_quoted_for_the_shell(latentkit, name):
    path = Path("runs", name)
    suggested = AUTOENCODER.next_command(path, {"maps": {}, "left_out": [], "latent_dim": 2})
    assert shlex.split(suggested)[:3] == ["latentkit", "embed", str(path)]
    mapped = {"maps": ("isomap", "pca"), "left_out": [], "latent_dim": 2, "reconstruction": {}}
    suggested = AUTOENCODER.next_command(path, mapped)
    assert str(path / "config.toml") in shlex.split(suggested)
    assert shlex.split(TRANSFER.next_command(path, {})) == ["latentkit", "evaluate", str(path)]
    for command in (("runs", "--runs"), ("studies", "--out")):
        ended = latentkit(*command, name)
        assert shlex.split(ended.out.partition("Start one:")[2])[-2:] == [command[1], name]


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (KeyboardInterrupt(), True),
        (errors.StorageError("the disk is full"), True),
        (errors.PluginError("it failed"), True),
        (errors.UserError("it cannot be"), False),
        (errors.IntegrityError("it was changed"), False),
        (errors.DivergedError("NaN"), False),
    ],
)
def test_resuming_is_suggested_only_where_it_helps(capsys, error, helps):
    shared_options.say_how_to_resume(error, "resume", "runs/a b")
    assert ("to resume:  latentkit resume 'runs/a b'" in capsys.readouterr().err) is helps


def test_a_run_that_diverged_suggests_another_run(latentkit, small):
    ended = latentkit("run", "--name", "a", *small, "-o", "training.learning_rate=1e30", "-o",
                      "training.schedule=constant", "-o", "model.norm=none")  # fmt: skip
    assert ended.code == 11
    assert "to resume" not in ended.err
    assert "start another run with a lower training.learning_rate" in ended.error
    shown = latentkit("runs", "a").out
    assert "latentkit run --config" in shown
    assert "latentkit resume" not in shown


def test_library_warnings_are_not_hidden(latentkit, monkeypatch):
    monkeypatch.setattr(
        "latentkit.api.inputs.runs_dir",
        lambda *a: warnings.warn("mind the gap", UserWarning, stacklevel=1) or Path("runs"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert "mind the gap" in latentkit("runs").err


def test_a_name_with_line_ends_makes_no_further_row(capsys):
    name = "run\nNext\tlatentkit run --plugin evil.py"
    shared_options.print_facts([("Run", name)])
    shared_options.print_rows(("name",), [(name,)])
    outcome.print_tables([page.Table("t", ("a", name), [(name, "1")])])
    shared_options.warn(name)
    display.say(name)
    written = capsys.readouterr()
    shown = r"run\x0aNext\x09latentkit run --plugin evil.py"
    assert (written.out + written.err).count(shown) == 6
    assert not [line for line in (written.out + written.err).split("\n") if line[:4] == "Next"]


def test_the_list_of_runs_has_one_row_for_a_folder_with_a_line_end(latentkit):
    try:
        Path("runs", "a\nb").mkdir(parents=True)
    except OSError:
        pytest.skip("this system has no such names")
    Path("runs", "a\nb", "run.json").write_text("{")
    ended = latentkit("runs")
    assert len(ended.out.splitlines()) == 2
    assert r"a\x0ab" in ended.out
