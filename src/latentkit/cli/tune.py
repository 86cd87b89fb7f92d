"""``latentkit tune``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.choices import device_and_config_options, part_option, settings_option
from latentkit.cli.common import (
    check_positive,
    common_options,
    load_registry,
    parse_options,
    print_json,
    work_of_parts,
)
from latentkit.cli.outcome import data_option
from latentkit.cli.study_display import study_display
from latentkit.cli.study_table import print_study, study_facts
from latentkit.errors import UserError
from latentkit.plugin.events import Event, Listener, StudyStarted, fan_out

if TYPE_CHECKING:
    from latentkit.plugin.options import SearchDomain

_SECONDS_A_MINUTE = 60


@click.command("tune")
@part_option("--model", "model", "Model.  [default: conv-ae]")
@part_option("--dataset", "dataset", "Data set.  [default: digits]")
@part_option("--corrupt", "corruption", "Corrupt the input.", several=True)
@click.option(
    "--trials",
    type=int,
    metavar="N",
    callback=check_positive,
    help="Number of finished trials that ends the study.  [default: 10]",
)
@click.option("--minutes", type=float, metavar="M", help="Start no trial after M minutes.")
@click.option(
    "--objective",
    "objectives",
    metavar="NAME",
    multiple=True,
    help="What to optimise: loss, mse, knn, ...; several give a Pareto front.  [default: loss]",
)
@click.option(
    "--search",
    "searches",
    metavar="PART.KEY=RANGE",
    multiple=True,
    help="Search an option: LOW..HIGH, LOW..HIGH:log, LOW..HIGH:step=S, or A,B,C.",
)
@click.option(
    "--fix",
    "fixes",
    metavar="PART.KEY[=VALUE]",
    multiple=True,
    help="Do not search this option, although it has a search range.",
)
@settings_option("Set an option, which is then not searched.")
@click.option("--epochs", type=int, metavar="N", callback=check_positive, help="Epochs per trial.")
@click.option("--seed", type=int, metavar="N", help="Seed of trials and search.  [default: 0]")
@device_and_config_options
@part_option("--tuner", "tuner", "Tuner that chooses options.  [default: optuna]")
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
    callback=check_positive,
    help="Processes on this machine that run trials.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Database that workers on several machines share, such as "
    "postgresql+psycopg://USER@HOST/DB.  [env: LATENTKIT_STORAGE; default: a file]",
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
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@common_options
@click.pass_context
def command(context: click.Context, /, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Search for better options; each trial is a run, and the best run is completed.

    \b
    latentkit tune --dataset fashion-mnist --trials 30 -o model.latent_dim=16
    latentkit tune --search model.latent_dim=2..64:log --search model.activation=relu,silu \\
        --objective mse --objective knn
    """  # noqa: D301  # Click takes a real backspace
    load_registry()
    arguments = _arguments(context, asked)
    from latentkit.api.tune import tune

    with _working(quiet) as listener:
        study = tune(listener=listener, **arguments)
    if as_json:
        print_json(study_facts(study))
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
        "options": {**options, **parse_options(asked["options"])},
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
    if minutes <= 0:
        raise UserError(f"--minutes {minutes:g}: should be more than 0")
    return minutes * _SECONDS_A_MINUTE


def _searches(texts: tuple[str, ...]) -> dict[str, SearchDomain]:
    from latentkit.tuning.ranges import parse_search

    return dict(map(parse_search, texts))


def _tuner_options(texts: tuple[str, ...]) -> dict[str, Any]:
    for text in texts:
        if "=" not in text:
            raise UserError(f"--tuner-option {text!r}: write KEY=VALUE, such as sampler=random")
    return parse_options(texts)


def _fixes(texts: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Return the keys that keep their values, and the values given for others."""
    with_value = parse_options(tuple(text for text in texts if "=" in text))
    return [text for text in texts if "=" not in text], with_value


@contextmanager
def _working(quiet: bool) -> Iterator[Listener]:
    """Show progress; after an interrupt or a failure, print how to resume."""
    path: list[str] = []

    def remember(event: Event) -> None:
        if isinstance(event, StudyStarted):
            path[:] = [event.path]

    try:
        with work_of_parts(), study_display(quiet) as display:
            yield fan_out(remember, display)
    except BaseException:
        if path:
            click.echo(
                f"Finished work is kept; to resume:  latentkit tune --resume {path[0]}", err=True
            )
        raise
