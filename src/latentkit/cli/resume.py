"""``latentkit resume``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options, load_registry
from latentkit.cli.outcome import data_option, run_options, show_outcome, working_on_run


@click.command("resume")
@click.argument("run")
@data_option
@run_options
@common_options
def command(run: str, data_dir: str | None, as_json: bool, quiet: bool) -> None:
    """Do what is missing of RUN, and nothing twice.

    RUN is the run's folder; or its name in ./runs, an unambiguous start or end of that; or 'last'.
    The result is, to the byte, that of a run that was never stopped.
    """
    load_registry()
    from latentkit.api import work

    with working_on_run(quiet) as listener:
        finished = work.resume(run, data=data_dir, listener=listener)
    show_outcome(finished, as_json=as_json, quiet=quiet)
