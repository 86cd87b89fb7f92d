"""``latentkit run``."""

from __future__ import annotations

from typing import Any

import click

from latentkit.cli.choices import device_and_config_options, part_option, settings_option
from latentkit.cli.common import (
    check_not_negative,
    common_options,
    load_registry,
    parse_options,
)
from latentkit.cli.outcome import data_option, run_options, show_outcome, working_on_run


@click.command("run")
@part_option("--model", "model", "Model.  [default: conv-ae]")
@part_option("--dataset", "dataset", "Data set.  [default: digits]")
@part_option(
    "--corrupt",
    "corruption",
    "Corrupt the input, and learn to restore the clean image; repeatable, applied in order.",
    several=True,
)
@part_option("--embed", "embedding", "Map the test latents; repeatable.", several=True)
@settings_option(
    "Set an option, e.g. -o model.latent_dim=3; 'latentkit plugins show NAME' lists them."
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    callback=check_not_negative,
    help="Passes over the training images; 0 uses the weights of --init-from unchanged. Short for "
    "-o training.epochs=N.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.  [default: 0]")
@click.option(
    "--init-from",
    metavar="PATH",
    help="Start from saved weights: a run, a .safetensors file, or a torch checkpoint.",
)
@device_and_config_options
@click.option(
    "--name",
    metavar="NAME",
    default="",
    help="Name of the run's folder. If it already exists, the run is resumed.  "
    "[default: made of the date]",
)
@click.option(
    "--out",
    metavar="DIR",
    default="runs",
    show_default=True,
    help="Folder in which the run's folder is created.",
)
@data_option
@click.option("--print-config", is_flag=True, help="Print the resulting configuration, and stop.")
@run_options
@common_options
def command(
    model: str | None,
    dataset: str | None,
    corrupt: tuple[str, ...],
    embed: tuple[str, ...],
    options: tuple[str, ...],
    epochs: int | None,
    seed: int | None,
    device: str | None,
    init_from: str | None,
    config: str | None,
    name: str,
    out: str,
    data_dir: str | None,
    print_config: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a model on images, map its latents, measure both, and write a report.

    \b
    latentkit run --model conv-ae --embed isomap
    latentkit run --dataset fashion-mnist --embed pca --embed isomap -o model.latent_dim=3
    latentkit run --corrupt gaussian-noise -o gaussian-noise.std=0.4
    latentkit run --config runs/.../config.toml --seed 1
    """  # noqa: D301  # Click takes a real backspace
    registry = load_registry()
    chosen: dict[str, Any] = {
        "model": model,
        "dataset": dataset,
        "corrupt": corrupt,
        "embed": embed,
        "options": parse_options(options),
        "epochs": epochs,
        "seed": seed,
        "device": device,
        "init_from": init_from,
        "config": config,
    }
    from latentkit.api.request import configure

    resolved = configure(registry, **chosen)  # report errors before the slow import of torch
    if print_config:
        click.echo(resolved.to_toml(), nl=False)
        return
    from latentkit.api import work

    with working_on_run(quiet) as listener:
        run = work.run(**chosen, name=name, out=out, data=data_dir, listener=listener)
    show_outcome(run, as_json=as_json, quiet=quiet)
