"""The ``latentkit`` command: a table of commands, each imported when it is run."""

from __future__ import annotations

import signal
import sys
import threading
import time
from importlib import import_module
from types import FrameType

import click

from latentkit._version import __version__
from latentkit.cli.common import common_options, run_guarded

# The short help is here so that listing the commands does not import them.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("latentkit.cli.run", "Train a model, map its latents, measure both, write a report."),
    "resume": ("latentkit.cli.resume", "Finish a run that was stopped."),
    "embed": ("latentkit.cli.embed", "Add maps to a run."),
    "evaluate": ("latentkit.cli.evaluate", "Show the evaluation card of a run."),
    "transfer": (
        "latentkit.cli.transfer",
        "Train classifiers on a run's encoder, and compare them.",
    ),
    "compare": ("latentkit.cli.compare", "Compare runs: options, figures, differences."),
    "report": ("latentkit.cli.report", "Draw a run's figures and write its report again."),
    "page": ("latentkit.cli.page", "Write one page on several runs, transfers and studies."),
    "explore": ("latentkit.cli.explore", "Draw figures of a run's latent space."),
    "export": ("latentkit.cli.export", "Write a run's encoder and decoder as ONNX."),
    "runs": ("latentkit.cli.runs", "List runs, or show one."),
    "tune": ("latentkit.cli.tune", "Search for better options."),
    "studies": ("latentkit.cli.studies", "List studies, or show one."),
    "plugins": (
        "latentkit.cli.plugins",
        "List installed parts, check them, and create a new plugin.",
    ),
    "data": ("latentkit.cli.data", "List data sets, look at one, verify one."),
    "doctor": ("latentkit.cli.doctor", "Check the installation, and say how to repair it."),
    "completion": (
        "latentkit.cli.completion",
        "Print a script that completes commands in a shell.",
    ),
}


_TOGETHER = 1.0  # seconds; `timeout` signals a process and then its group, which counts once


class LazyGroup(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for one that does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from latentkit.errors import UserError, did_you_mean

            near = did_you_mean(args[0], COMMANDS)
            raise UserError(
                f"there is no command {args[0]!r}{near}; known commands: {', '.join(COMMANDS)}"
            )
        return super().resolve_command(ctx, args)


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
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(run_guarded(cli))
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Treat a scheduler's SIGTERM like Ctrl-C once; a later SIGTERM ends the process."""
    begun = time.monotonic()

    def again(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - begun > _TOGETHER:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    signal.signal(number, again)
    raise KeyboardInterrupt
