"""What may be chosen of any run, study or transfer: parts, their options, device, a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from latentkit.cli.common import part_completion
from latentkit.config import DEVICES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def part_option(flag: str, kind: str, text: str, *, several: bool = False) -> Decorator:
    """Return an option that takes names of parts of a kind, and completes them."""
    return click.option(
        flag, metavar="NAME", multiple=several, shell_complete=part_completion(kind), help=text
    )


def settings_option(text: str) -> Decorator:
    """Return ``-o``; `parse_options` reads what it was given."""
    return click.option(
        "-o", "--option", "options", metavar="PART.KEY=VALUE", multiple=True, help=text
    )


def device_and_config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--device`` and ``--config``."""
    text = "Where to compute.  [default: auto]"
    function = click.option(
        "--config", metavar="FILE", help="TOML file; the flags go on top of it."
    )(function)
    return click.option("--device", type=click.Choice(DEVICES), help=text)(function)
