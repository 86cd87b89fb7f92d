"""``latentkit completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from latentkit.cli.common import common_options
from latentkit.errors import UserError

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@common_options
def command(shell: str) -> None:
    """Print a script for SHELL that completes commands, options and names.

    \b
    bash:  latentkit completion bash > ~/.local/share/bash-completion/completions/latentkit
    zsh:   latentkit completion zsh > a folder on $fpath, named _latentkit
    fish:  latentkit completion fish > ~/.config/fish/completions/latentkit.fish
    """  # noqa: D301  # Click takes a real backspace
    from latentkit.cli.main import cli

    complete = get_completion_class(shell)
    if complete is None:
        raise UserError(f"Click has no completion for {shell}: choose another shell")
    click.echo(complete(cli, {}, "latentkit", "_LATENTKIT_COMPLETE").source())
