"""The ``latentkit`` command: a table of commands, each imported when it is run."""

from __future__ import annotations

import signal
import sys
import threading
import time
from importlib import import_module
from types import FrameType

import click
from click.shell_completion import get_completion_class

from latentkit._version import __version__
from latentkit.cli.launch import follow_silently, is_launched
from latentkit.cli.shared_options import CommandGroup, common_options, echo, run_guarded
from latentkit.errors import INTERRUPTED_EXIT_CODE, UserError
from latentkit.training import stopping

# The short help is here so that listing the commands does not import them.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": (
        "run_command:run_command",
        "Train a model, map its latents, measure both, write a report.",
    ),
    "resume": ("run_command:resume_command", "Finish a run that was stopped."),
    "embed": ("run_command:embed_command", "Add maps to a run."),
    "maps": (
        "runs_command:maps_command",
        "Compare the maps of a run, and recommend one for a question.",
    ),
    "evaluate": ("runs_command:evaluate_command", "Show the evaluation card of a run."),
    "transfer": (
        "transfer_command:transfer_command",
        "Train classifiers on a run's encoder, and compare them.",
    ),
    "compare": ("runs_command:compare_command", "Compare runs: which encoder is better?"),
    "report": ("runs_command:report_command", "Draw a run's figures and write its report again."),
    "page": (
        "runs_command:page_command",
        "Write one page about several runs, transfers and studies.",
    ),
    "explore": ("explore_command:explore_command", "Open the explorer of a run's latent space."),
    "export": ("export_command:export_command", "Write a run's encoder and decoder as ONNX."),
    "runs": ("runs_command:runs_command", "List runs, or show one."),
    "encode": ("use_command:encode_command", "Encode new images with a run."),
    "reconstruct": ("use_command:reconstruct_command", "Reconstruct or denoise new images."),
    "classify": ("use_command:classify_command", "Classify new images with a transfer."),
    "sample": ("use_command:sample_command", "Draw new images from a run's model."),
    "pack": ("use_command:pack_command", "Write a run as one file, for another machine."),
    "unpack": ("use_command:unpack_command", "Make a folder of a packed run."),
    "tune": ("tune_command:tune_command", "Search for better options."),
    "studies": ("tune_command:studies_command", "List studies, or show one."),
    "plugins": (
        "plugins_command:plugins_command",
        "List installed parts, show their options, check them, and create a new plugin.",
    ),
    "data": (
        "data_command:data_command",
        "List data sets, check, draw or verify one, and free disk space.",
    ),
    "doctor": (
        "doctor_command:doctor_command",
        "Check the installation, and say how to repair it.",
    ),
    "completion": (
        "main:completion_command",
        "Print a script that completes commands in a shell.",
    ),
}


_TOGETHER = 1.0  # seconds; `timeout` signals a process and then its group, which counts once


class LazyGroup(CommandGroup):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"latentkit.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with:  latentkit run --model conv-ae --embed isomap",
)
@click.version_option(__version__, "-V", "--version", prog_name="latentkit")
@common_options
def cli() -> None:
    """Learn, look at and measure the latent space of images."""


def main() -> None:
    """Run the command line, and exit with the code of its outcome."""
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread can set signal handlers
        sys.exit(run_guarded(cli))
    follow_silently()
    before = {number: signal.getsignal(number) for number in _ending_signals()}
    try:
        for number in before:
            signal.signal(number, _interrupt)
        code = run_guarded(cli)
    except KeyboardInterrupt:  # just before the command began, or just after it ended
        code = INTERRUPTED_EXIT_CODE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    sys.exit(code)


def _ending_signals() -> list[signal.Signals]:
    """Return the signals of a scheduler and of a terminal that closes, unless ``nohup`` is used.

    torchrun passes Ctrl-C on to its processes, which also get it from the terminal.
    """
    if is_launched():
        return [signal.SIGTERM, signal.SIGINT, *_of_name("SIGUSR1")]
    ending = [signal.SIGTERM, *_of_name("SIGUSR1")]
    return ending + [one for one in _of_name("SIGHUP") if signal.getsignal(one) != signal.SIG_IGN]


def _of_name(name: str) -> list[signal.Signals]:
    """Return a signal that not every system has."""
    found = getattr(signal, name, None)
    return [] if found is None else [found]


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM, SIGUSR1 or SIGHUP like Ctrl-C once; a later one ends the process.

    A training heeds SIGTERM and SIGUSR1, the signals of schedulers, at the end of its step.
    """
    first_signal = time.monotonic()

    def again(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - first_signal > _TOGETHER:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for other in _ending_signals():
        signal.signal(other, again)
    if number in (signal.SIGTERM, *_of_name("SIGUSR1")) and stopping.ask():
        return
    raise KeyboardInterrupt


_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@common_options
def completion_command(shell: str) -> None:
    """Print a script for SHELL that completes commands, options and names.

    \b
    bash:  latentkit completion bash > ~/.local/share/bash-completion/completions/latentkit
    zsh:   latentkit completion zsh > a folder on $fpath, named _latentkit
    fish:  latentkit completion fish > ~/.config/fish/completions/latentkit.fish
    """  # noqa: D301  # Click takes a real backspace
    complete = get_completion_class(shell)
    if complete is None:
        raise UserError(f"Click has no completion for {shell}: choose another shell")
    echo(complete(cli, {}, "latentkit", "_LATENTKIT_COMPLETE").source())
