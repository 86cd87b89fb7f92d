"""``latentkit page``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options


@click.command("page")
@click.argument("story", metavar="REPORT")
@click.option(
    "--root",
    metavar="DIR",
    default=".",
    show_default=True,
    help="Folder that contains the runs and studies.",
)
@click.option(
    "--out",
    metavar="FILE",
    help="File for the page.  [default: REPORT's name with .html, in --root]",
)
@common_options
def command(story: str, root: str, out: str | None) -> None:
    """Write one page on several runs, transfers and studies.

    REPORT is a TOML file with a title, and chapters with text, commands, tables and figures. A
    figure is given as RUN/FIGURE, a table as RUN/TITLE. docs/pages.md shows an example.
    """
    from latentkit.api.page import write_page

    click.echo(write_page(story, root=root, out=out))
