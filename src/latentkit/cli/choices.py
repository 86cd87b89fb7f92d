"""Options shared by runs, studies and transfers: parts, their options, device, configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from latentkit.cli.common import part_completion
from latentkit.config import DEVICES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def part_option(flag: str, kind: str, text: str, *, several: bool = False) -> Decorator:
    """Return an option that takes names of one kind of parts, with shell completion."""
    return click.option(
        flag, metavar="NAME", multiple=several, shell_complete=part_completion(kind), help=text
    )


def settings_option(text: str) -> Decorator:
    """Return the option ``-o``, whose values `parse_options` reads."""
    return click.option(
        "-o", "--option", "options", metavar="PART.KEY=VALUE", multiple=True, help=text
    )


def device_and_config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--device`` and ``--config``."""
    text = "Device to compute on.  [default: auto]"
    function = click.option(
        "--config", metavar="FILE", help="TOML configuration file; flags override it."
    )(function)
    return click.option("--device", type=click.Choice(DEVICES), help=text)(function)
