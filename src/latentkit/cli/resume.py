"""``latentkit resume``."""

from __future__ import annotations

import click

from latentkit.cli.choices import settings_option
from latentkit.cli.common import (
    check_positive,
    common_options,
    load_registry,
    parse_options,
)
from latentkit.cli.outcome import data_option, run_options, show_outcome, working_on_run


@click.command("resume")
@click.argument("run")
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    callback=check_positive,
    help="Train for N epochs in total, more than the run has so far.",
)
@settings_option("Check that the run has this option; it cannot be changed.")
@data_option
@run_options
@common_options
def command(
    run: str,
    epochs: int | None,
    options: tuple[str, ...],
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Complete RUN without repeating finished stages.

    RUN is the run's folder, its name in ./runs, an unambiguous start or end of that name, or
    'last'. The result is byte for byte that of a run that was never stopped.
    """
    load_registry()
    from latentkit.api import work

    with working_on_run(quiet) as listener:
        finished = work.resume(
            run, epochs=epochs, options=parse_options(options), data=data_dir, listener=listener
        )
    show_outcome(finished, as_json=as_json, quiet=quiet)
