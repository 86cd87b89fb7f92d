"""Output of commands that work on a run: a summary, or how to resume after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import shared_options
from latentkit.cli.display import progress_display
from latentkit.cli.launch import resume_words
from latentkit.errors import DivergedError, unexpected_content
from latentkit.plugin.events import Event, Listener, RunStarted, fan_out
from latentkit.terminal import in_one_line, shell_command

if TYPE_CHECKING:
    from latentkit.api.run_handle import Run
    from latentkit.maps.vector_maps import VectorMaps
    from latentkit.report.page import Table


def run_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add the options of every command that works on a run."""
    function = click.option("--quiet", "-q", is_flag=True, help="Print the run's folder only.")(
        function
    )
    return shared_options.json_option("Print the summary as one JSON document.")(function)


def data_option(function: Callable[..., object], **settings: Any) -> Callable[..., object]:
    """Add ``--data-dir``; ``settings`` are those of `click.option`."""
    return click.option(
        "--data-dir",
        metavar="DIR",
        help="Folder of data sets.  [env: LATENTKIT_DATA; default: the user's cache]",
        **settings,
    )(function)


@contextmanager
def working_on_run(quiet: bool) -> Iterator[Listener]:
    """Show progress; after an interrupt, or a failure that can be repaired, print how to resume."""
    path: list[str] = []

    def remember(event: Event) -> None:
        if isinstance(event, RunStarted):
            path[:] = [event.path]

    try:
        with shared_options.work_of_parts(), progress_display(quiet) as display:
            yield fan_out(remember, display)
    except BaseException as error:
        if path:
            before, after = resume_words()
            words = ("resume", shared_options.near_path(path[0]), *after)
            shared_options.say_how_to_resume(error, *words, before=before)
        raise


def show_outcome(run: Run, *, as_json: bool, quiet: bool) -> None:
    """Print the summary of a run to stdout."""
    if as_json:
        shared_options.print_json(run.summary)
    elif quiet:
        shared_options.echo(shared_options.near_path(run.path))
    else:
        _print_summary(run)


def show_maps(maps: VectorMaps, *, as_json: bool, quiet: bool) -> None:
    """Print maps of vectors to stdout."""
    if as_json:
        shared_options.print_json({"path": str(maps.path), "maps": maps.documents})
    elif quiet:
        shared_options.echo(maps.path)
    else:
        from latentkit.evaluation.card_sentences import reading_text
        from latentkit.evaluation.card_tables import quality_line
        from latentkit.maps.vector_maps import mapped

        documents = maps.documents.items()
        rows = [("Maps", str(maps.path))]
        for name, found in documents:
            quality, of = found["quality"], mapped(found)
            rows.append((f"Map {name}", quality_line(quality, of)))
            rows.append(("", reading_text(found, of)))
        rows += [("Picture", f"{maps.path}/{name.replace(':', '.')}.png") for name in maps.arrays]
        shared_options.print_facts(rows)


def _print_summary(run: Run) -> None:
    from latentkit.runs.summary import status_text, summary_rows

    summary = run.summary
    rows = [("Run", shared_options.near_path(run.path))]
    if (status := status_text(summary)) != "finished":
        rows.append(("Status", status))
    rows += summary_rows(summary, run.kind)
    if "report" in summary:
        rows.append(("Report", shared_options.near_path(summary["report"])))
    if "explorer" in summary:
        near = shared_options.near_path(summary["explorer"])
        rows.append(("Explorer", f"{near} (open it in a browser)"))
    if summary["status"] not in ("running", "pruned"):
        with unexpected_content(run.path):
            rows.append(("Next", _next_command(run, summary)))
    shared_options.print_facts(rows)


def print_tables(tables: Sequence[Table], note: str = "") -> None:
    """Print tables of text to stdout, and a note below them."""
    from rich.table import Table as RichTable

    console = shared_options.stdout_console()
    for table in tables:
        console.print(in_one_line(table.title), style="bold")
        drawn = RichTable(box=None, pad_edge=False)
        for number, name in enumerate(table.header):
            right = table.is_number(number)
            drawn.add_column(
                in_one_line(name), justify="right" if right else "left", overflow="fold"
            )
        for row in table.rows:
            drawn.add_row(*map(in_one_line, map(str, row)))
        console.print(drawn)
        console.print()
    if note:
        console.print(note)


def _next_command(run: Run, summary: Mapping[str, Any]) -> str:
    """Return a useful next command."""
    from latentkit.runs.packed import SUFFIX, is_unpacked

    if is_unpacked(run.path):  # the suggestions of its kind would write to it
        used = "encode" if run.kind.points == "latents" else "classify"
        return shell_command(used, f"{run.id}{SUFFIX}", "photos")
    near = shared_options.near_path(run.path)
    if summary["status"] == "finished":
        return run.kind.next_command(Path(near), summary)
    if run.error.startswith(f"{DivergedError.__name__}:"):  # it would diverge again
        gentle = ("-o", "training.learning_rate=1e-3", "-o", "training.clip_norm=1")
        return shell_command("run", "--config", f"{near}/config.toml", *gentle)
    return shell_command("resume", near)
