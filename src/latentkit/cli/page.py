"""``latentkit page``."""

from __future__ import annotations

import click

from latentkit.cli.common import common_options


@click.command("page")
@click.argument("story", metavar="STORY")
@click.option(
    "--root",
    metavar="DIR",
    default=".",
    show_default=True,
    help="Folder below which the runs and studies lie.",
)
@click.option("--out", metavar="FILE", help="The page.  [default: STORY's name in --root]")
@common_options
def command(story: str, root: str, out: str | None) -> None:
    """Compose one page out of runs, transfers and studies.

    STORY is a TOML file: a title, and chapters with text, commands, tables and figures, of which
    each names its run as RUN/FIGURE. docs/pages.md shows one.
    """
    from latentkit.api.page import write_page

    click.echo(write_page(story, root=root, out=out))
