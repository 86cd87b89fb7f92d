"""``latentkit evaluate``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options, load_registry, print_json
from latentkit.cli.outcome import data_option, print_tables, run_options, working_on_run


@click.command("evaluate")
@click.argument("run")
@click.option("--again", is_flag=True, help="Evaluate again, even if it was done before.")
@data_option
@run_options
@common_options
def command(run: str, again: bool, data_dir: str | None, as_json: bool, quiet: bool) -> None:
    """Show the evaluation card of RUN; an unfinished run is completed first.

    RUN is the run's folder, its name in ./runs, an unambiguous start or end of that name, or
    'last'. Every figure is shown with its baselines and its 95 % interval.
    """
    load_registry()
    from latentkit.api import work

    with working_on_run(quiet) as listener:
        finished = work.evaluate(run, again=again, data=data_dir, listener=listener)
    card = finished.evaluation
    if as_json:
        print_json(card)
    elif quiet:
        click.echo(finished.path / "evaluation.json")
    else:
        from latentkit.pipeline.card_tables import card_note
        from latentkit.pipeline.tables import tables_of

        print_tables(tables_of(card), card_note(card))
