"""``latentkit transfer``."""

from __future__ import annotations

from typing import Any

import click

from latentkit.cli import shared_options
from latentkit.cli.outcome import data_option, run_options, show_outcome, working_on_run
from latentkit.config import MODES


@click.command("transfer")
@click.argument("run", required=False)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="probe: freeze the encoder; finetune: train it too; scratch: start from random weights; "
    "all: compare the three.  [default: finetune]",
)
@click.option(
    "--labels",
    metavar="SHARE",
    multiple=True,
    help="Labels to train with: a share such as 10% or 0.1, or a number such as 500; repeatable "
    "with --mode all.  [default: 100%; all: 1%, 10%, 100%]",
)
@click.option(
    "--seeds",
    type=int,
    metavar="N",
    callback=shared_options.check_positive,
    help="Number of seeds with --mode all.  [default: 3]",
)
@shared_options.part_option("--model", "model", "Model, if no RUN is given.  [default: conv-ae]")
@shared_options.part_option("--dataset", "dataset", "Data set.  [default: that of RUN, or digits]")
@click.option(
    "--init-from",
    metavar="PATH",
    help="Start from saved weights: a run, a .safetensors file, or a torch checkpoint.",
)
@shared_options.part_option(
    "--embed",
    "embedding",
    "Map the features before and after training; repeatable.  [default: pca, tsne, isomap]",
    several=True,
)
@click.option("--no-maps", is_flag=True, help="Draw no maps.")
@shared_options.settings_option(
    "Set an option, e.g. -o transfer.encoder_rate=0.1 or -o transfer.shift=2."
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    callback=shared_options.check_positive,
    help="Passes over the labelled images; short for -o training.epochs=N.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.  [default: RUN's]")
@shared_options.device_and_config_options
@click.option(
    "--name",
    metavar="NAME",
    default="",
    help="Name of the transfer's folder. If it already exists, the transfer is resumed.  "
    "[default: made from the date]",
)
@shared_options.out_option
@data_option
@run_options
@shared_options.common_options
def transfer_command(
    run: str | None,
    mode: str | None,
    labels: tuple[str, ...],
    seeds: int | None,
    model: str | None,
    dataset: str | None,
    init_from: str | None,
    embed: tuple[str, ...],
    no_maps: bool,
    options: tuple[str, ...],
    epochs: int | None,
    seed: int | None,
    device: str | None,
    config: str | None,
    name: str,
    runs_dir: str | None,
    out: str | None,
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a classifier on the encoder of RUN, to measure how useful its features are.

    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'. If RUN is a transfer, its classifier is trained further. The result is a new
    run.

    \b
    latentkit transfer RUN --mode probe
    latentkit transfer RUN --labels 1% -o transfer.encoder_rate=0.1
    latentkit transfer RUN --mode all --labels 1% --labels 10% --seeds 5
    latentkit transfer --mode scratch --dataset fashion-mnist
    """  # noqa: D301  # Click takes a real backspace
    shared_options.load_registry()
    chosen: dict[str, Any] = {
        "mode": mode,
        "labels": labels or None,
        "seeds": seeds,
        "model": model,
        "dataset": dataset,
        "init_from": init_from,
        "embed": () if no_maps else embed or None,
        "options": shared_options.parse_options(options),
        "epochs": epochs,
        "seed": seed,
        "device": device,
        "config": config,
        "name": name,
        "runs": runs_dir,
        "out": out,
        "data": data_dir,
    }
    from latentkit.api.transfer import transfer

    with working_on_run(quiet) as listener:
        finished = transfer(run, **chosen, listener=listener)
    show_outcome(finished, as_json=as_json, quiet=quiet)
