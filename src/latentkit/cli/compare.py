"""``latentkit compare``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options, load_registry, print_json
from latentkit.cli.outcome import print_tables


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="RUN RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as one JSON document.")
@common_options
def command(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare runs: the options that differ, the figures, and their differences.

    Each RUN is a run's folder, its name in ./runs, an unambiguous start or end of that name, or
    'last'. Differences are from the first run, with 95 % intervals. If the test images are the
    same, differences are computed image by image.
    """
    load_registry()
    from latentkit.api.runs import compare

    found = compare(*runs)
    if as_json:
        print_json(found)
    else:
        from latentkit.pipeline.compare import comparison_tables

        print_tables(comparison_tables(found))
