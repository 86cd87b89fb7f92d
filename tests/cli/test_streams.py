"""Standard streams that are closed, full or of another encoding end no run, and are no bug."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from latentkit.cli import main as main_module
from latentkit.cli import shared_options
from latentkit.training import stopping

pytestmark = pytest.mark.early
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")


class Failing(io.StringIO):
    """A stream that fails as a full disk or a closed pipe does."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


class Encoded(io.TextIOWrapper):
    """A stream of another encoding."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")

    @property
    def text(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("command", [("runs",), ("data", "list"), ("data", "list", "--json")])
def test_a_full_stdout_exits_with_5(latentkit, monkeypatch, command):
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    ended = latentkit(*command)
    assert ended.code == 5
    assert "cannot write to the standard output: No space left" in ended.error


@pytest.mark.parametrize("command", [("runs",), ("data", "list"), ("data", "list", "--json")])
def test_a_reader_that_has_gone_is_no_error(latentkit, monkeypatch, command):
    monkeypatch.setattr(sys, "stdout", Failing(errno.EPIPE))
    ended = latentkit(*command)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("broken", [None, errno.EIO])
def test_a_run_whose_progress_cannot_be_shown_finishes(latentkit, monkeypatch, small, broken):
    monkeypatch.setattr(sys, "stderr", broken and Failing(broken))
    ended = latentkit("run", "--name", "a", *small)
    assert ended.code == 0
    assert "runs/a" in ended.out.replace("\\", "/")
    assert json.loads(Path("runs/a/run.json").read_text())["status"] == "finished"


def test_a_command_without_stdout_does_its_work(latentkit, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    ended = latentkit("data", "preview", "digits")
    assert (ended.code, ended.err) == (0, "")
    assert Path("digits-train.png").exists()


@POSIX
def test_closed_and_full_streams_of_a_process(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = f"'{sys.executable}' -m latentkit runs"
    script = f"{command} >&-; echo $?; {command} >/dev/full 2>/dev/full; echo $?"
    ended = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (ended.stdout, ended.stderr) == ("0\n5\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_an_encoding_lacks_are_replaced(latentkit, monkeypatch, encoding):
    out, err = Encoded(encoding), Encoded(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    for name in ("ещё", "±é"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "run.json").write_text("{")
    assert latentkit("runs").code == 0
    assert r"\u0435\u0449\u0451" in out.text
    assert r"\u0435\u0449\u0451" in err.text
    assert latentkit("runs", "ж").code == 2


NAME = "\x1b[31m \x7f \x9b2J \u202e ± ё 𝄞"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_document_is_parsed_as_it_was_whatever_the_encoding(monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", out := Encoded(encoding))
    shared_options.print_json({"name": NAME})
    assert json.loads(out.text) == {"name": NAME}
    assert not set(out.text) & set("\x1b\x7f\x9b\u202e")
    assert ("± ё 𝄞" in out.text) is (encoding == "utf-8")
    monkeypatch.setattr(sys, "stdout", out := Encoded(encoding))
    shared_options.print_toml(tomli_w.dumps({"name": NAME}))
    assert tomllib.loads(out.text) == {"name": NAME}
    assert not set(out.text) & set("\x1b\x7f\x9b\u202e")


@pytest.fixture
def no_training(monkeypatch):
    """Let no training of another test, in a thread that has not ended, hear SIGTERM."""
    monkeypatch.setattr(stopping, "ask", lambda: False)


@pytest.fixture
def hang_up():
    """Give SIGHUP its usual effect, also if the tests are run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@POSIX
@pytest.mark.usefixtures("no_training", "hang_up")
def test_a_terminal_that_closes_interrupts_like_sigterm(latentkit, monkeypatch):
    for number in (signal.SIGTERM, signal.SIGHUP):
        monkeypatch.setattr(
            "latentkit.api.inputs.configure",
            lambda *a, number=number, **k: signal.raise_signal(number),
        )
        ended = latentkit("run")
        assert (ended.code, ended.error) == (130, "latentkit: error: interrupted")
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


@POSIX
def test_nohup_keeps_a_run_alive(latentkit, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(
            "latentkit.api.inputs.runs_dir",
            lambda *a, **k: signal.raise_signal(signal.SIGHUP) or Path("runs"),
        )
        assert latentkit("runs").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("no_training")
def test_a_signal_before_a_command_begins_or_after_it_ended_gives_its_exit_code(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(main_module, "run_guarded", lambda cli: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 130
    assert signal.getsignal(signal.SIGTERM) == before
