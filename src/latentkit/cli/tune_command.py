"""``latentkit tune`` and ``studies``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import shared_options
from latentkit.cli.outcome import data_option
from latentkit.cli.study_display import study_display
from latentkit.errors import LatentkitError, UserError
from latentkit.plugin.events import Event, Listener, StudyStarted, fan_out
from latentkit.plugin.options import option_text
from latentkit.registry.discovery import paths_from_environment
from latentkit.terminal import in_one_line, shell_command

if TYPE_CHECKING:
    from latentkit.api.run_handle import Run
    from latentkit.api.tune import Study
    from latentkit.plugin.options import SearchDomain
    from latentkit.plugin.studies import StudyResult, TrialRecord
    from latentkit.tune.study_folder import StudyFolder


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
        "machine": trial.notes.get("machine"),
        "device": trial.notes.get("device"),
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
        table.add_column(in_one_line(goal.label), justify="right")
    for heading in ("epochs", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("options", overflow="fold")
    marked = {trial.number for trial in result.front}
    for trial in result.trials:
        style = "bold" if trial.number in marked else ""
        table.add_row(*map(in_one_line, _cells(trial, len(result.directions))), style=style)
    shared_options.stdout_console().print(table)
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
        shared_options.echo("No trial completed.")
        return
    rows = [("Best trial", str(best.number))]
    if run is not None:
        rows += [("Its run", shared_options.near_path(run.path)), *_figures(run)]
    config = shared_options.near_path(study.best_config)
    rows += [
        ("Its options", config),
        ("Report", shared_options.near_path(study.report)),
        ("Next", _running(config)),
    ]
    shared_options.print_facts(rows)


def _running(config: str) -> str:
    """Return the command that runs a configuration, with the plugin files that were named."""
    files = [word for path in paths_from_environment() for word in ("--plugin", path)]
    return shell_command("run", "--config", config, "--seed", "1", *files)


def _figures(run: Run) -> list[tuple[str, str]]:
    """Return the best run's results on the test images, if the run was completed."""
    summary = run.summary
    if "reconstruction" not in summary:
        return []
    from latentkit.runs.summary import summary_rows

    wanted = ("Test MSE", "Test ELBO", "Linear probe", "10-NN probe")
    rows = summary_rows(summary, run.kind)
    return [(name, text) for name, text in rows if name.startswith(wanted)]


_SECONDS_A_MINUTE = 60


@click.command("tune")
@shared_options.part_option("--model", "model", "Model.  [default: conv-ae]")
@shared_options.part_option("--dataset", "dataset", "Data set.  [default: digits]")
@shared_options.part_option(
    "--corrupt", "corruption", "Corrupt the input; repeatable, applied in order.", several=True
)
@click.option(
    "--trials",
    type=int,
    metavar="N",
    callback=shared_options.check_positive,
    help="End the study after N finished trials.  [default: 10]",
)
@click.option("--minutes", type=float, metavar="M", help="Start no trial after M minutes.")
@click.option(
    "--objective",
    "objectives",
    metavar="NAME",
    multiple=True,
    help="What to optimise: loss, mse, knn, ...; repeatable: several give a Pareto front.  "
    "[default: loss]",
)
@click.option(
    "--search",
    "searches",
    metavar="PART.KEY=RANGE",
    multiple=True,
    help="Search an option: LOW..HIGH, LOW..HIGH:log, LOW..HIGH:step=S, or A,B,C; repeatable.",
)
@click.option(
    "--fix",
    "fixes",
    metavar="PART.KEY[=VALUE]",
    multiple=True,
    help="Do not search this option, although it has a search range.",
)
@shared_options.settings_option("Set an option, which is then not searched.")
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    callback=shared_options.check_positive,
    help="Epochs per trial.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of trials and search.  [default: 0]")
@shared_options.device_and_config_options
@shared_options.part_option("--tuner", "tuner", "Tuner that chooses options.  [default: optuna]")
@click.option(
    "--tuner-option",
    "tuner_options",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set an option of the tuner, such as sampler=random or pruner=none.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the study. If it already exists, it is resumed.  [default: MODEL-DATASET]",
)
@click.option(
    "--workers",
    type=int,
    metavar="N",
    default=1,
    show_default=True,
    callback=shared_options.check_positive,
    help="Processes on this machine that run trials.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Database that workers on several machines share, such as "
    "postgresql+psycopg://USER@HOST/DB; @FILE reads the URL from a file, so that nobody sees its "
    "password.  [env: LATENTKIT_STORAGE; default: a file]",
)
@click.option(
    "--resume", metavar="STUDY", help="Resume a study, by folder or name, with its settings."
)
@click.option(
    "--no-finish",
    is_flag=True,
    help="Do not complete the best run: no latents, evaluation card or report.",
)
@click.option(
    "--out", metavar="DIR", default="studies", show_default=True, help="Folder of studies."
)
@shared_options.runs_option
@data_option
@shared_options.json_option()
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@shared_options.common_options
@click.pass_context
def tune_command(context: click.Context, /, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Search for better options; each trial is a run, and the best run is completed.

    \b
    latentkit tune --dataset fashion-mnist --trials 30 -o model.latent_dim=16
    latentkit tune --search model.latent_dim=2..64:log --search model.activation=relu,silu \\
        --objective mse --objective knn
    """  # noqa: D301  # Click takes a real backspace
    shared_options.load_registry()
    arguments = _arguments(context, asked)
    from latentkit.api.tune import tune

    with _working(quiet) as listener:
        study = tune(listener=listener, **arguments)
    if as_json:
        shared_options.print_json(study_facts(study))
    else:
        print_study(study)


_KEPT = ("dataset", "model", "corrupt", "epochs", "seed", "device", "config", "tuner", "name")


def _arguments(context: click.Context, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for `latentkit.tune`."""
    fixed, options = _fixes(asked["fixes"])
    arguments = {
        "trials": asked["trials"],
        "seconds": _seconds(asked["minutes"]),
        "workers": asked["workers"],
        "storage": asked["storage"],
        "finish": not asked["no_finish"],
        "out": asked["out"],
        "runs": asked["runs_dir"],
        "data": asked["data_dir"],
    }
    if asked["resume"] is not None:
        _refuse_beside_resume(context)
        return {**arguments, "resume": asked["resume"]}
    return {
        **arguments,
        **{key: asked[key] for key in _KEPT},
        "objective": asked["objectives"],
        "search": _searches(asked["searches"]),
        "fix": fixed,
        "options": {**options, **shared_options.parse_options(asked["options"])},
        "tuner_options": _tuner_options(asked["tuner_options"]),
    }


def _refuse_beside_resume(context: click.Context) -> None:
    """Raise an error for options that a resumed study cannot change."""
    refused = (*_KEPT, "objectives", "searches", "fixes", "options", "tuner_options")
    given = click.core.ParameterSource.COMMANDLINE
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in refused and context.get_parameter_source(name) is given:
            raise UserError(
                f"--resume keeps the settings of the study: leave {parameter.opts[-1]} out"
            )


def _seconds(minutes: float | None) -> float | None:
    if minutes is None:
        return None
    seconds = minutes * _SECONDS_A_MINUTE
    if not 0 < seconds < math.inf:
        raise UserError(f"--minutes {minutes:g}: should be more than 0, and not infinite")
    return seconds


def _searches(texts: tuple[str, ...]) -> dict[str, SearchDomain]:
    from latentkit.tune.space import parse_search

    return dict(map(parse_search, texts))


def _tuner_options(texts: tuple[str, ...]) -> dict[str, Any]:
    for text in texts:
        if "=" not in text:
            raise UserError(f"--tuner-option {text!r}: write KEY=VALUE, such as sampler=random")
    return shared_options.parse_options(texts)


def _fixes(texts: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Return the keys that keep their values, and the values given for others."""
    with_value = shared_options.parse_options(tuple(text for text in texts if "=" in text))
    return [text for text in texts if "=" not in text], with_value


@contextmanager
def _working(quiet: bool) -> Iterator[Listener]:
    """Show progress; after an interrupt, or a failure that can be repaired, print how to resume."""
    path: list[str] = []

    def remember(event: Event) -> None:
        if isinstance(event, StudyStarted):
            path[:] = [event.path]

    try:
        with shared_options.work_of_parts(), study_display(quiet) as display:
            yield fan_out(remember, display)
    except BaseException as error:
        if path:
            shared_options.say_how_to_resume(
                error, "tune", "--resume", shared_options.near_path(path[0])
            )
        raise


@click.command("studies")
@click.argument("study", required=False)
@click.option(
    "--out", metavar="DIR", default="studies", show_default=True, help="Folder of studies."
)
@click.option(
    "--storage",
    metavar="URL",
    help="URL of the study's database, with its password; @FILE reads it from a file.  "
    "[env: LATENTKIT_STORAGE]",
)
@shared_options.json_option()
@shared_options.common_options
def studies_command(study: str | None, out: str, storage: str | None, as_json: bool) -> None:
    """List the studies in a folder; with STUDY, show the trials of one.

    The list shows the trials that `latentkit tune` recorded; it opens no database.
    """
    from latentkit.api.tune import open_study

    if study is not None:
        found = open_study(study, out=out, storage=storage)
        if as_json:
            shared_options.print_json(study_facts(found))
        else:
            print_study(found)
        return
    from latentkit.tune.study_folder import study_folders

    lines = [_line(path) for path in study_folders(Path(out))]
    if as_json:
        shared_options.print_json(lines)
    elif lines:
        header = ("study", "trials", "complete", "pruned", "failed", "best", "objective")
        shared_options.print_rows(header, [_study_cells(line) for line in lines])
    else:
        place = () if out == "studies" else ("--out", out)
        command = shell_command("tune", "--trials", "10", *place)
        shared_options.echo(f"There are no studies in {out}. Start one:  {command}")
    for line in lines:
        if "error" in line:
            shared_options.warn(line["error"])


def _line(path: Path) -> dict[str, Any]:
    """Return the facts of a study for the list; a study that cannot be read is listed as such.

    They come from the files in its folder, so that the list opens no storage.
    """
    from latentkit.tune.study_folder import StudyFolder
    from latentkit.tune.trial_record import read_trials

    try:
        study = StudyFolder.open(path)
        return _facts(study, read_trials(study))
    except LatentkitError as error:
        return {"study": path.name, "path": str(path.absolute()), "error": str(error)}


def _facts(study: StudyFolder, recorded: StudyResult | None) -> dict[str, Any]:
    """Return the facts of a study; counts are None if its trials were never recorded."""
    states: list[str] | None = None
    if recorded is not None:
        states = [trial.state for trial in recorded.trials]
    best = None if recorded is None else recorded.best
    return {
        "study": study.plan.name,
        "path": str(study.path),
        "trials": study.plan.trials,
        **{state: None if states is None else states.count(state) for state in _COUNTED},
        "best": None if best is None else list(best.values),
        "objectives": [goal.name for goal in study.plan.goals],
    }


_COUNTED = ("complete", "pruned", "failed")


def _study_cells(line: dict[str, Any]) -> tuple[str, ...]:
    name = in_one_line(line["study"])
    if "error" in line:
        return (name, *[""] * 5, "cannot be read")
    best = "" if line["best"] is None else " ".join(f"{value:.5g}" for value in line["best"])
    counts = ("?" if line[key] is None else str(line[key]) for key in ("trials", *_COUNTED))
    return (name, *counts, best, in_one_line(" ".join(line["objectives"])))
