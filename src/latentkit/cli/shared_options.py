"""Code that all commands share: options, exit codes, error messages and output."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from latentkit import errors
from latentkit.cli.streams import ReaderGoneError, standard_streams
from latentkit.plugin.machine import DEVICES
from latentkit.terminal import in_one_line, printable, shell_command

if TYPE_CHECKING:
    from rich.console import Console

    from latentkit.registry.catalogue import Registry


KINDS = ("model", "dataset", "corruption", "embedding", "tuner")
_ISSUES_HINT = "this is a bug in latentkit: please report it with the output of --debug"
_PACKAGE = Path(__file__).parent.parent
_WIDE = 10_000  # columns; longer than any row of a table
_debug = False


def run_guarded(command: click.Command) -> int:
    """Run a Click command, print errors as one line, and return the exit code."""
    warnings.showwarning = _show_warning
    with standard_streams():
        return _run(command)


def _run(command: click.Command) -> int:
    try:
        command.main(standalone_mode=False, prog_name="latentkit")
        sys.stdout.flush()
    except click.exceptions.NoSuchOption as error:
        near = errors.did_you_mean(error.option_name, error.possibilities or ())
        return _fail(f"there is no option {error.option_name}{near}; see --help", 2)
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        return _fail(_lower_first(error.format_message()), error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        # Click raises Abort from Python's KeyboardInterrupt and EOFError.
        if isinstance(stop.__cause__, EOFError):
            return _fail_unexpectedly(stop.__cause__)
        notes = getattr(stop.__cause__ or stop, "__notes__", ())
        return _fail(" ".join(["interrupted", *notes]), errors.INTERRUPTED_EXIT_CODE)
    except errors.LatentkitError as error:
        return _fail(str(error), error.exit_code)
    except ReaderGoneError:
        return 0
    except CommandEndedError as ended:
        return ended.code
    except SystemExit as end:
        if _is_from_click(end):
            raise
        text = f"a plugin tried to end the command with sys.exit({end.code!r}): --debug shows where"
        return _fail(text, errors.PluginError.exit_code)
    except Exception as error:
        return _fail_unexpectedly(error)
    return 0


def _fail_unexpectedly(error: Exception) -> int:
    if found := errors.explained(error):
        return _fail(str(found), found.exit_code)
    return _fail(f"{type(error).__name__}: {error} ({_ISSUES_HINT})", 1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of latentkit as one line, and one of a library as Python does."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if Path(filename).is_relative_to(_PACKAGE):
        text = f"latentkit: warning: {' '.join(str(message).split())}\n"
    (file or sys.stderr).write(printable(text))


def _is_from_click(end: SystemExit) -> bool:
    """Return whether Click itself ends the process, for example after shell completion."""
    frames = [frame for frame, _ in traceback.walk_tb(end.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).startswith("click.")


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command accepts, before or after its name."""
    options = (
        click.option(
            "--debug",
            is_flag=True,
            expose_value=False,
            callback=_set_debug,
            help="Show the traceback of an error.",
        ),
        click.option(
            "--no-plugins",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_variable("LATENTKIT_PLUGINS", ""),
            help="Load the built-in parts only.",
        ),
        click.option(
            "--strict-plugins",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_variable("LATENTKIT_STRICT", "1"),
            help="Stop at a broken plugin instead of skipping it.",
        ),
        click.option(
            "--plugin",
            metavar="FILE.py",
            multiple=True,
            expose_value=False,
            is_eager=True,
            callback=_add_plugin_files,
            help="Load a plugin from a single file; repeatable.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def load_registry() -> Registry:
    """Return the registry; warn on stderr of plugins that were skipped, are slow, or print."""
    from latentkit.registry.catalogue import default_registry

    registry = default_registry()
    for line in [*map(str, registry.problems), *registry.remarks()]:
        warn(f"{line} ('latentkit doctor' shows more)")
    return registry


class CommandGroup(click.Group):
    """A group that lists its commands in whole sentences, and suggests the nearest one."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each command's help."""
        rows = [
            (name, self.commands[name].get_short_help_str(_WIDE)) for name in sorted(self.commands)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for one that does not exist."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = errors.did_you_mean(args[0], known)
            raise errors.UserError(
                f"there is no command {args[0]!r}{near}; known commands: {', '.join(known)}"
            )
        return super().resolve_command(ctx, args)


class CommandEndedError(Exception):
    """The command has ended with ``code``, and what there is to say has been printed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def work_of_parts() -> Iterator[None]:
    """Redirect what parts print to stderr, because stdout is for the result only."""
    with redirect_stdout(sys.stderr):
        yield


def part_completion(kind: str) -> Callable[..., list[str]]:
    """Return a Click completion function for the names of one kind of parts."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from latentkit.registry.catalogue import default_registry

        names = (part.spec.name for part in default_registry().parts(kind))
        return [name for name in names if name.startswith(incomplete)]

    return complete


def parse_options(texts: tuple[str, ...]) -> dict[str, Any]:
    """Return ``-o part.key=value`` options as a mapping; the last value of a key wins."""
    from latentkit.config import parse_override

    return dict(parse_override(text) for text in texts)


def echo(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Print text to stdout, or to stderr; control characters are shown and not obeyed."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(str(text)) + end)
    stream.flush()


def warn(text: object) -> None:
    """Print a warning to stderr."""
    echo(in_one_line(f"latentkit: warning: {text}"), err=True)


_COMES_AGAIN = (errors.UserError, errors.IntegrityError, errors.DivergedError)


def say_how_to_resume(error: BaseException, *words: str, before: str = "") -> None:
    """Print the command that goes on, unless the error would only come again."""
    if not isinstance(error, _COMES_AGAIN):
        command = before + shell_command(*words)
        echo(f"Finished work is kept; to resume:  {command}", err=True)


def print_json(document: Any) -> None:
    """Print one JSON document to stdout."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    context = click.get_current_context(silent=True)
    with redirect_stdout(context.meta.get(_STDOUT, sys.stdout) if context else sys.stdout):
        # json escapes what is not ASCII, but not the control character DEL.
        _print_document(text, lambda c: "\\u007f" if c == "\x7f" else json.dumps(c)[1:-1])


def print_toml(text: str) -> None:
    """Print a TOML document to stdout."""
    _print_document(text.removesuffix("\n"), lambda c: f"\\U{ord(c):08x}")


def _print_document(text: str, escape: Callable[[str], str]) -> None:
    """Print a document so that a parser reads the same and a terminal obeys nothing.

    Only characters in strings can be ones that control a terminal or that stdout's encoding lacks.

    Args:
        text: the document.
        escape: returns such a character as the document's format writes it.
    """
    encoding = sys.stdout.encoding or "utf-8"

    def is_plain(part: str) -> bool:
        return part.encode(encoding, "ignore").decode(encoding) == part == printable(part)

    if not is_plain(text):
        text = "".join(c if is_plain(c) else escape(c) for c in text)
    echo(text)


def print_rows(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table to stdout; columns of text wrap."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in header:
        wraps = heading in ("what it does", "meaning", "values", "search")
        table.add_column(heading, no_wrap=not wraps, overflow="fold")
    for row in rows:
        table.add_row(*map(in_one_line, row))
    stdout_console().print(table)


def print_facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and their values to stdout; long values wrap."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(in_one_line, row))
    stdout_console().print(table)


def stdout_console() -> Console:
    """Return a console that prints tables to stdout, without markup.

    It is as wide as the terminal. Without a terminal, each row is one line, and trailing blanks
    are removed.
    """
    from latentkit.cli.console import TerminalConsole

    if sys.stdout.isatty():
        return TerminalConsole(file=sys.stdout)
    return TerminalConsole(file=cast("TextIO", _WithoutTrailingBlanks()), width=_WIDE)


class _WithoutTrailingBlanks:
    """A stdout that removes the blanks with which rich fills lines."""

    def write(self, text: str) -> int:
        """Write text, which rich passes as whole lines."""
        return sys.stdout.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)


def near_path(path: str | os.PathLike[str]) -> str:
    """Return a path as a user would type it: relative if it is in the working folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):  # OSError: the working folder was deleted
        return str(path)


def check_positive(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Refuse numbers below 1, with an error message in latentkit's style."""
    if value is not None and value < 1:
        raise errors.UserError(f"{param.opts[0]} {value}: should be 1 or more")
    return value


def check_not_negative(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Refuse numbers below 0, with an error message in latentkit's style."""
    if value is not None and value < 0:
        raise errors.UserError(f"{param.opts[0]} {value}: should be 0 or more")
    return value


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    global _debug
    _debug = _debug or value


def _add_plugin_files(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    if value:
        from latentkit.registry.discovery import add_to_environment

        add_to_environment(value)


def _set_variable(name: str, content: str) -> Callable[..., None]:
    def callback(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            os.environ[name] = content

    return callback


def _fail(message: str, code: int) -> int:
    if _debug:
        echo(traceback.format_exc(), err=True, end="")
    # A command in the message may hold several blanks, which must stay.
    line = " ".join(part.strip() for part in message.splitlines())
    echo(f"latentkit: error: {line}", err=True)
    return code


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def part_option(flag: str, kind: str, text: str, *, several: bool = False) -> Decorator:
    """Return an option that takes names of one kind of parts, with shell completion."""
    return click.option(
        flag, metavar="NAME", multiple=several, shell_complete=part_completion(kind), help=text
    )


def json_option(text: str = "Print one JSON document.") -> Decorator:
    """Return the option ``--json``; docs/reference/json.md describes what each command prints."""
    return click.option("--json", "as_json", is_flag=True, callback=_keep_stdout, help=text)


_STDOUT = "latentkit.stdout"


def _keep_stdout(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Keep stdout for `print_json`, and send to stderr whatever else is printed."""
    if value:
        ctx.meta[_STDOUT] = sys.stdout
        ctx.with_resource(redirect_stdout(sys.stderr))
    return value


def settings_option(text: str) -> Decorator:
    """Return the option ``-o``, whose values `parse_options` reads."""
    return click.option(
        "-o", "--option", "options", metavar="PART.KEY=VALUE", multiple=True, help=text
    )


RUNS_HELP = "Folder of runs.  [env: LATENTKIT_RUNS; default: ./runs]"


def runs_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--runs``, the folder of runs."""
    return click.option("--runs", "runs_dir", metavar="DIR", help=RUNS_HELP)(function)


def out_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--runs``, and ``--out``, its name in commands that had it first."""
    text = "Another name of --runs."
    return runs_option(click.option("--out", metavar="DIR", help=text)(function))


def device_and_config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--device`` and ``--config``."""
    text = "Device to compute on.  [default: auto]"
    function = click.option(
        "--config", metavar="FILE", help="TOML configuration file; flags override it."
    )(function)
    return click.option("--device", type=click.Choice(DEVICES), help=text)(function)
