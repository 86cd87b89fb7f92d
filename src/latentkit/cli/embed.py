"""``latentkit embed``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options, load_registry, parse_options, part_completion
from latentkit.cli.outcome import data_option, run_options, show_outcome, working_on_run


@click.command("embed")
@click.argument("run")
@click.option(
    "--embed",
    metavar="NAME",
    multiple=True,
    required=True,
    shell_complete=part_completion("embedding"),
    help="Map the test latents; may be given several times.",
)
@click.option(
    "-o",
    "--option",
    "options",
    metavar="NAME.KEY=VALUE",
    multiple=True,
    help="Set an option of an embedding, e.g. -o isomap.n_neighbors=20.",
)
@data_option
@run_options
@common_options
def command(
    run: str,
    embed: tuple[str, ...],
    options: tuple[str, ...],
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Add maps to RUN, draw them, and write its report anew.

    RUN is the run's folder; or its name in ./runs, an unambiguous start or end of that; or 'last'.
    """
    load_registry()
    from latentkit.api import work

    with working_on_run(quiet) as listener:
        finished = work.embed(
            run, embed, options=parse_options(options), data=data_dir, listener=listener
        )
    show_outcome(finished, as_json=as_json, quiet=quiet)
