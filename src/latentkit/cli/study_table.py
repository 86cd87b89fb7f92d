"""A study on stdout: its trials, the best one, and the paths of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.common import print_facts, stdout_console
from latentkit.plugin.options import option_text

if TYPE_CHECKING:
    from latentkit.api.study import Study
    from latentkit.plugin.studies import TrialRecord


def study_facts(study: Study) -> dict[str, Any]:
    """Return a study as a JSON object."""
    best, result = study.best_run, study.result
    return {
        "study": study.name,
        "path": str(study.path),
        "objectives": [goal.name for goal in study.plan.goals],
        "directions": list(result.directions),
        "best_trial": None if result.best is None else result.best.number,
        "best_run": None if best is None else str(best.path),
        "best_config": None if result.best is None else str(study.best_config),
        "report": str(study.report),
        "front": [trial.number for trial in result.front],
        "trials": [_trial_facts(trial) for trial in result.trials],
    }


def _trial_facts(trial: TrialRecord) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "values": list(trial.values),
        "seconds": trial.seconds,
        "epochs": trial.notes.get("epochs"),
        "params": dict(trial.params),
        "error": trial.error,
    }


def print_study(study: Study) -> None:
    """Print the trials of a study, the best one, and the next command."""
    from rich.table import Table

    result = study.result
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("trial", justify="right")
    table.add_column("state")
    for goal in study.plan.goals:
        table.add_column(goal.label, justify="right")
    for heading in ("epochs", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("options", overflow="fold")
    marked = {trial.number for trial in result.front}
    for trial in result.trials:
        style = "bold" if trial.number in marked else ""
        table.add_row(*_cells(trial, len(result.directions)), style=style)
    stdout_console().print(table)
    _print_next(study)


def _cells(trial: TrialRecord, objectives: int) -> list[str]:
    values = [f"{value:.5g}" for value in trial.values] or [""] * objectives
    params = trial.params.items()
    options = " ".join(f"{key.rpartition('.')[2]}={option_text(value)}" for key, value in params)
    epochs = str(trial.notes.get("epochs", ""))
    note = f"{options}  ({trial.error})" if trial.error else options
    return [str(trial.number), trial.state, *values, epochs, f"{trial.seconds:.1f}", note]


def _print_next(study: Study) -> None:
    best, run = study.result.best, study.best_run
    if best is None:
        click.echo("No trial completed.")
        return
    rows = [("Best trial", str(best.number))]
    if run is not None:
        rows += [("Its run", str(run.path)), *_figures(run.summary)]
    rows += [
        ("Its options", str(study.best_config)),
        ("Report", str(study.report)),
        ("Next", f"latentkit run --config {study.best_config} --seed 1"),
    ]
    print_facts(rows)


def _figures(summary: Any) -> list[tuple[str, str]]:
    """Return the best run's figures on the test images, if the run was completed."""
    if "reconstruction" not in summary:
        return []
    from latentkit.pipeline.summary import summary_rows

    wanted = ("Test MSE", "Test ELBO", "Linear probe", "10-NN probe")
    return [(name, text) for name, text in summary_rows(summary) if name.startswith(wanted)]
