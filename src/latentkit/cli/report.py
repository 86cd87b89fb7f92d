"""``latentkit report``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options, load_registry
from latentkit.cli.outcome import data_option, run_options, show_outcome, working_on_run


@click.command("report")
@click.argument("run")
@click.option("--svg", is_flag=True, help="Draw each figure as SVG too.")
@data_option
@run_options
@common_options
def command(run: str, svg: bool, data_dir: str | None, as_json: bool, quiet: bool) -> None:
    """Draw the figures of RUN and write its report.html again.

    An unfinished run is completed first.
    RUN is the run's folder, its name in ./runs, an unambiguous start or end of that name, or
    'last'. If the data set is missing, the report leaves out what needs its images, and says so.
    """
    load_registry()
    from latentkit.api import work

    with working_on_run(quiet) as listener:
        finished = work.write_report(run, svg=svg, data=data_dir, listener=listener)
    show_outcome(finished, as_json=as_json, quiet=quiet)
