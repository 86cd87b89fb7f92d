"""``latentkit runs``, ``maps``, ``evaluate``, ``compare``, ``report`` and ``page``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import outcome, shared_options
from latentkit.errors import LatentkitError, UserError, unexpected_content
from latentkit.terminal import in_one_line, shell_command

if TYPE_CHECKING:
    from latentkit.runs.folder import RunFolder


@click.command("runs")
@click.argument("run", required=False)
@shared_options.out_option
@shared_options.json_option()
@shared_options.common_options
def runs_command(run: str | None, runs_dir: str | None, out: str | None, as_json: bool) -> None:
    """List the runs in the folder of runs; with RUN, show the summary of one."""
    from latentkit.api.inputs import runs_dir as find_runs_dir

    folder = find_runs_dir(runs_dir, out)
    if run is not None:
        from latentkit.api.commands import open_run

        outcome.show_outcome(open_run(run, folder), as_json=as_json, quiet=False)
        return
    lines = _lines(folder)
    if as_json:
        shared_options.print_json(lines)
    elif lines:
        _print_table(lines)
    else:
        place = () if runs_dir is None and out is None else ("--runs", folder)
        command = shell_command("run", "--embed", "isomap", *place)
        shared_options.echo(f"There are no runs in {folder}. Start one:  {command}")
    for line in lines:
        if "error" in line:
            shared_options.warn(line["error"])


def _lines(root: Path) -> list[dict[str, Any]]:
    """Return the facts of each run for the list, sorted by name."""
    from latentkit.runs.find import readable_runs

    found, faults = readable_runs(root)
    lines = [_line(folder) for folder in found]
    lines += [_damaged(path, fault) for path, fault in faults.items()]
    return sorted(lines, key=lambda line: Path(line["path"]).name)


def _line(folder: RunFolder) -> dict[str, Any]:
    """Return the facts of a run for the list; a run with a damaged file is listed as such."""
    from latentkit.api.run_handle import Run
    from latentkit.runs.summary import summary_rows

    try:
        run = Run(folder)
        line = {**run.summary, "created": folder.manifest.created}
        with unexpected_content(folder.path):  # what is shown later must not fail
            summary_rows(line, run.kind)
            _cells(line)
        return line
    except LatentkitError as error:
        return _damaged(folder.path, str(error))


def _damaged(path: Path, fault: str) -> dict[str, Any]:
    return {"run": path.name, "path": str(path), "status": "damaged", "error": fault}


def _print_table(lines: list[dict[str, Any]]) -> None:
    from rich.table import Table

    rows = [_cells(line) for line in lines]
    headings = ("run", "status", "epochs", "test MSE", "PCA", "accuracy", "maps")
    shown = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place in shown:
        # A name may wrap, but a number must not be cut: it would read as another number.
        folds = headings[place] in ("run", "maps")
        table.add_column(headings[place], no_wrap=not folds, overflow="fold")
    for row in rows:
        table.add_row(*(in_one_line(row[place]) for place in shown))
    shared_options.stdout_console().print(table)


def _cells(line: dict[str, Any]) -> list[str]:
    """Return a run's cells in the table; missing values are empty."""
    figures = (
        line.get("reconstruction", {}).get("mse"),
        line.get("baselines", {}).get("pca", {}).get("mse"),
        line.get("transfer", {}).get("after", {}).get("accuracy"),
    )
    return [
        line["run"],
        line["status"],
        str(line.get("epochs", "")),
        *("" if figure is None else f"{figure['value']:.4f}" for figure in figures),
        " ".join(line.get("maps", ())),
    ]


@click.command("evaluate")
@click.argument("run")
@click.option("--again", is_flag=True, help="Evaluate again, even if it was done before.")
@shared_options.runs_option
@outcome.data_option
@shared_options.json_option("Print the card as one JSON document.")
@click.option("--quiet", "-q", is_flag=True, help="Print the path of the card only.")
@shared_options.common_options
def evaluate_command(
    run: str,
    again: bool,
    runs_dir: str | None,
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show the evaluation card of RUN: how good the model and its maps are.

    Every figure is shown with its baselines and its 95 % interval. An unfinished run is completed
    first; in a read-only folder, the card is shown as it is.

    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'.
    """
    shared_options.load_registry()
    from latentkit.api import commands

    with outcome.working_on_run(quiet) as listener:
        finished = commands.evaluate(
            run, again=again, runs=runs_dir, data=data_dir, listener=listener
        )
    card = finished.evaluation
    if as_json:
        shared_options.print_json(card)
    elif quiet:
        shared_options.echo(shared_options.near_path(finished.path / "evaluation.json"))
    else:
        from latentkit.evaluation.card_tables import card_note

        with unexpected_content(finished.path):
            tables, note = finished.kind.tables(card), card_note(card)
        outcome.print_tables(tables, note)


@click.command("maps")
@click.argument("run")
@click.option(
    "--for",
    "question",
    type=click.Choice(("neighbours", "clusters", "distances", "new-images")),
    help="What the map is for.  [default: all of these]",
)
@click.option("--figure", metavar="FILE", help="Draw all maps side by side, too: .png or .svg.")
@shared_options.runs_option
@shared_options.json_option("Print the comparison as one JSON document.")
@shared_options.common_options
def maps_command(
    run: str, question: Any, figure: str | None, runs_dir: str | None, as_json: bool
) -> None:
    """Compare all maps of RUN, say what may be read from each, and recommend one.

    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, 'last', or a packed run. 'latentkit embed RUN --embed NAME --stability 8' adds how certain
    a map is.
    """
    if figure is not None and Path(figure).suffix not in (".png", ".svg"):
        raise UserError(f"--figure {figure}: the name should end in .png or .svg")
    shared_options.load_registry()
    from latentkit.api.commands import open_run

    opened = open_run(run, runs_dir)
    with unexpected_content(opened.path):
        found = opened.compare_maps(question)
    if figure is not None:
        from latentkit.maps.certainty_figures import write_side_by_side

        write_side_by_side(found, f"Maps of {opened.id}", Path(figure).expanduser())
    if as_json:
        shared_options.print_json({"run": opened.id, **found})
        return
    from latentkit.maps.compare_maps import comparison_tables

    outcome.print_tables(comparison_tables(found), found["note"])
    if figure is not None:
        shared_options.echo(figure)


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="RUN RUN...")
@shared_options.runs_option
@click.option("--page", metavar="FILE", help="Write the comparison as an HTML page, too.")
@shared_options.json_option("Print the comparison as one JSON document.")
@shared_options.common_options
def compare_command(
    runs: tuple[str, ...], runs_dir: str | None, page: str | None, as_json: bool
) -> None:
    """Compare the encoders of RUNs, and say whether the autoencoder was worth its training.

    Runs that differ only in their seed are one encoder. A transfer belongs to the run that it
    started from: name that run, too. The last table has the differences from the first run, with
    95 % intervals, image by image if the test images are the same.

    Each RUN is a run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'.
    """
    shared_options.load_registry()
    from latentkit.api.commands import compare

    found = compare(*runs, page=page, runs=runs_dir)
    if as_json:
        shared_options.print_json(found)
    else:
        from latentkit.evaluation.compare_runs import comparison_tables

        if found["answer"]:
            shared_options.echo(in_one_line(found["answer"]["text"]) + "\n")
        outcome.print_tables(comparison_tables(found))
        if page is not None:
            shared_options.echo(page)


@click.command("report")
@click.argument("run")
@click.option("--svg", is_flag=True, help="Draw each figure as SVG too.")
@shared_options.runs_option
@outcome.data_option
@outcome.run_options
@shared_options.common_options
def report_command(
    run: str, svg: bool, runs_dir: str | None, data_dir: str | None, as_json: bool, quiet: bool
) -> None:
    """Draw the figures of RUN and write its report.html again.

    An unfinished run is completed first.
    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'. If the data set is missing, the report leaves out what needs its images, and
    says so.
    """
    shared_options.load_registry()
    from latentkit.api import commands

    with outcome.working_on_run(quiet) as listener:
        finished = commands.write_report(
            run, svg=svg, runs=runs_dir, data=data_dir, listener=listener
        )
    outcome.show_outcome(finished, as_json=as_json, quiet=quiet)


@click.command("page")
@click.argument("report", metavar="REPORT")
@click.option(
    "--root",
    metavar="DIR",
    default=".",
    show_default=True,
    help="Folder that contains the runs and studies.",
)
@click.option(
    "--out",
    metavar="FILE",
    help="File for the page.  [default: REPORT's name with .html, in --root]",
)
@shared_options.common_options
def page_command(report: str, root: str, out: str | None) -> None:
    """Write one page about several runs, transfers and studies.

    REPORT is a TOML file with a title, and chapters with text, commands, tables and figures. A
    figure is given as RUN/FIGURE, a table as RUN/TITLE:

    \b
    title = "Plain and noisy"
    [[chapter]]
    title = "Without noise"
    text = "An empty line begins a paragraph."
    tables = ["plain/Summary"]
    figures = ["plain/loss", "plain/map-*"]
    """  # noqa: D301  # Click takes a real backspace
    from latentkit.api.files import write_page

    shared_options.echo(write_page(report, root=root, out=out))
