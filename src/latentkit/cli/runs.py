"""``latentkit runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from latentkit.cli.common import common_options, print_json, stdout_console
from latentkit.errors import LatentkitError


@click.command("runs")
@click.argument("run", required=False)
@click.option("--out", metavar="DIR", default="runs", show_default=True, help="Folder of runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def command(run: str | None, out: str, as_json: bool) -> None:
    """List the runs in a folder; with RUN, show the summary of one."""
    if run is not None:
        from latentkit.api.runs import open_run
        from latentkit.cli.outcome import show_outcome

        show_outcome(open_run(run, out), as_json=as_json, quiet=False)
        return
    lines = [_line(path) for path in _run_folders(Path(out))]
    if as_json:
        print_json(lines)
    elif lines:
        _print_table(lines)
    else:
        click.echo(f"There are no runs in {out}. Start one:  latentkit run --embed isomap")


def _run_folders(root: Path) -> list[Path]:
    from latentkit.runs.folder import run_folders

    return run_folders(root)


def _line(path: Path) -> dict[str, Any]:
    """Return the facts of a run for the list; a damaged run is listed as such."""
    from latentkit.pipeline.summary import summarise
    from latentkit.runs.folder import RunFolder

    try:
        folder = RunFolder.open(path)
        summary = summarise(folder)
    except LatentkitError as error:
        return {"run": path.name, "path": str(path), "status": "damaged", "error": str(error)}
    status = summary["status"]
    if status == "running" and not folder.is_being_written():
        status = "stopped"
    return {**summary, "status": status, "created": folder.manifest.created}


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
        table.add_row(*(row[place] for place in shown))
    stdout_console().print(table)
    for line in lines:
        if "error" in line:
            click.echo(f"latentkit: warning: {line['error']}", err=True)


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
