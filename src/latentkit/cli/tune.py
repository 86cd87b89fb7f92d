"""``latentkit tune``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from latentkit.cli.common import (
    check_positive,
    common_options,
    load_registry,
    parse_options,
    part_completion,
    print_json,
)
from latentkit.cli.display import progress_display
from latentkit.cli.outcome import data_option
from latentkit.config import DEVICES

if TYPE_CHECKING:
    from latentkit.api.study import Study


@click.command("tune")
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=part_completion("model"),
    help="Model.  [default: conv-ae]",
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=part_completion("dataset"),
    help="Data set.  [default: digits]",
)
@click.option(
    "--corrupt",
    metavar="NAME",
    multiple=True,
    shell_complete=part_completion("corruption"),
    help="Corrupt the input.",
)
@click.option(
    "--trials",
    type=int,
    default=10,
    show_default=True,
    callback=check_positive,
    help="Finished trials after which the study is over.",
)
@click.option(
    "-o",
    "--option",
    "options",
    metavar="PART.KEY=VALUE",
    multiple=True,
    help="Set an option; it is then not searched.",
)
@click.option("--epochs", type=int, metavar="N", callback=check_positive, help="Epochs a trial.")
@click.option("--seed", type=int, metavar="N", help="Seed of trials and search.  [default: 0]")
@click.option("--device", type=click.Choice(DEVICES), help="Where to compute.  [default: auto]")
@click.option("--config", metavar="FILE", help="TOML file; the flags go on top of it.")
@click.option(
    "--tuner",
    metavar="NAME",
    default="optuna",
    show_default=True,
    shell_complete=part_completion("tuner"),
    help="Who searches.",
)
@click.option(
    "--name",
    default="study",
    show_default=True,
    help="Name of the study; one that is there is continued.",
)
@click.option(
    "--out", metavar="DIR", default="studies", show_default=True, help="Folder of studies."
)
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@common_options
def command(
    model: str | None,
    dataset: str | None,
    corrupt: tuple[str, ...],
    trials: int,
    options: tuple[str, ...],
    epochs: int | None,
    seed: int | None,
    device: str | None,
    config: str | None,
    tuner: str,
    name: str,
    out: str,
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Search the options that carry a search range for the least validation loss.

    \b
    latentkit tune --dataset fashion-mnist --trials 20 --epochs 3 -o model.latent_dim=3
    """  # noqa: D301  # Click takes a real backspace
    load_registry()
    from latentkit.api.study import tune

    with progress_display(quiet) as listener:
        study = tune(
            model=model,
            dataset=dataset,
            trials=trials,
            corrupt=corrupt,
            options=parse_options(options),
            epochs=epochs,
            seed=seed,
            device=device,
            config=config,
            tuner=tuner,
            name=name,
            out=out,
            data=data_dir,
            listener=listener,
        )
    if as_json:
        print_json(_facts(study))
    else:
        _print(study)


def _facts(study: Study) -> dict[str, object]:
    best = study.best_run
    return {
        "study": str(study.path),
        "best_run": None if best is None else str(best.path),
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "value": trial.value,
                "seconds": trial.seconds,
                "params": dict(trial.params),
            }
            for trial in study.result.trials
        ],
    }


def _print(study: Study) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("trial", "state", "validation loss", "seconds", "options"):
        table.add_column(heading)
    for trial in study.result.trials:
        table.add_row(
            str(trial.number),
            trial.state,
            "" if trial.value is None else f"{trial.value:.5f}",
            f"{trial.seconds:.1f}",
            " ".join(f"{key}={_short(value)}" for key, value in trial.params.items()),
        )
    console = Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty(), highlight=False)
    console.print(table)
    best = study.best_run
    if best is None:
        console.print("No trial completed.")
    else:
        console.print(f"Best trial's run: {best.path}")
        console.print(f"Next: latentkit resume {best.path}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
