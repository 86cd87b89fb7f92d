"""``latentkit studies``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.common import common_options, print_json, print_rows
from latentkit.errors import LatentkitError

if TYPE_CHECKING:
    from latentkit.api.study import Study


@click.command("studies")
@click.argument("study", required=False)
@click.option(
    "--out", metavar="DIR", default="studies", show_default=True, help="Folder of studies."
)
@click.option(
    "--storage",
    metavar="URL",
    help="The study's database, with its password.  [env: LATENTKIT_STORAGE]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def command(study: str | None, out: str, storage: str | None, as_json: bool) -> None:
    """List the studies in a folder; with STUDY, show the trials of one."""
    from latentkit.api.study import open_study

    if study is not None:
        from latentkit.cli.study_table import print_study, study_facts

        found = open_study(study, out=out, storage=storage)
        if as_json:
            print_json(study_facts(found))
        else:
            print_study(found)
        return
    from latentkit.tuning.folder import study_folders

    lines = [_line(path, storage) for path in study_folders(Path(out))]
    if as_json:
        print_json(lines)
    elif lines:
        header = ("study", "trials", "complete", "pruned", "failed", "best", "objective")
        print_rows(header, [_cells(line) for line in lines])
    else:
        click.echo(f"There are no studies in {out}. Start one:  latentkit tune --trials 10")
    for line in lines:
        if "error" in line:
            click.echo(f"latentkit: warning: {line['error']}", err=True)


def _line(path: Path, storage: str | None) -> dict[str, Any]:
    """Return the facts of a study for the list; a study that cannot be read is listed as such."""
    from latentkit.api.study import open_study

    try:
        return _facts(open_study(path, storage=storage))
    except LatentkitError as error:
        return {"study": path.name, "path": str(path), "error": str(error)}


def _facts(study: Study) -> dict[str, Any]:
    result = study.result
    states = [trial.state for trial in result.trials]
    return {
        "study": study.name,
        "path": str(study.path),
        "trials": study.plan.trials,
        **{state: states.count(state) for state in ("complete", "pruned", "failed", "running")},
        "best": None if result.best is None else list(result.best.values),
        "objectives": [goal.name for goal in study.plan.goals],
    }


def _cells(line: dict[str, Any]) -> tuple[str, ...]:
    if "error" in line:
        return (line["study"], *[""] * 5, "cannot be read")
    best = "" if line["best"] is None else " ".join(f"{value:.5g}" for value in line["best"])
    counts = (str(line[key]) for key in ("trials", "complete", "pruned", "failed"))
    return (line["study"], *counts, best, " ".join(line["objectives"]))
