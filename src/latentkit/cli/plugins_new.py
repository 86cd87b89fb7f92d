"""``latentkit plugins new``."""

from __future__ import annotations

from pathlib import Path

import click

from latentkit.cli.common import KINDS, common_options


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    required=True,
    help="What the plugin offers.",
)
@click.option(
    "--out",
    metavar="DIR",
    default=".",
    help="Folder in which the plugin's folder is created.  [default: here]",
)
@common_options
def new_plugin(name: str, kind: str, out: str) -> None:
    """Create a working plugin NAME, with options and tests.

    \b
    latentkit plugins new my-net --kind model
    pip install -e latentkit-my-net
    latentkit plugins check my-net
    """  # noqa: D301  # Click takes a real backspace
    from latentkit.scaffold.distribution import new_distribution

    written = new_distribution(name, kind, Path(out))
    for path in written:
        click.echo(path)
    root = written[0].parent
    click.echo(f"\nNext: pip install -e '{root}[test]' && python -m pytest {root}")
