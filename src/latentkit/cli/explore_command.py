"""``latentkit explore``: the explorer page, and views as figures."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import click

from latentkit.cli import shared_options
from latentkit.cli.explore_views import VIEWS, folder_options, open_named, write_figure_of
from latentkit.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from latentkit.api.run_handle import Run


class Views(shared_options.CommandGroup):
    """``explore RUN [RUN]...``, or ``explore RUN VIEW``.

    The first word after the run decides which of the two it is.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse options before or after the run, and keep further runs for `explore_command`."""
        options, words, view = self._divided(args)
        if view:
            return super().parse_args(ctx, [*options, *words, *view])
        ctx.meta[_OTHERS] = tuple(words[1:])
        return super().parse_args(ctx, [*options, *words[:1]])

    def _divided(self, args: list[str]) -> tuple[list[str], list[str], list[str]]:
        """Return options with their values, the words among them, and the view with the rest."""
        takes_value = {
            name
            for param in self.params
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        }
        options: list[str] = []
        words: list[str] = []
        place = 0
        while place < len(args):
            arg = args[place]
            if arg.startswith("-") and arg != "-":
                size = 2 if arg in takes_value else 1
                options += args[place : place + size]
            elif len(words) == 1 and arg in self.commands:
                return options, words, args[place:]
            else:
                size = 1
                words.append(arg)
            place += size
        return options, words, []


_OTHERS = "latentkit.other_runs"
_Named = Literal["test", "all"]


@click.group(
    "explore",
    cls=Views,
    commands=VIEWS.commands,
    invoke_without_command=True,
    subcommand_metavar="[RUN]... | VIEW [ARGS]...",
)
@click.argument("run")
@click.option(
    "--open/--no-open",
    "in_browser",
    default=None,
    help="Open the page in the browser.  [default: on a terminal with a display]",
)
@click.option(
    "--out",
    metavar="FILE",
    help="File for the page, or with --figures the folder for the figures.",
)
@click.option(
    "--on",
    metavar="test|all|N",
    default="test",
    show_default=True,
    help="Images to show: the test images, all, or a number of them drawn from all.",
)
@click.option("--figures", is_flag=True, help="Draw the views as still figures instead.")
@click.option("--again", is_flag=True, help="Write the page even if the run has a current one.")
@folder_options
@shared_options.common_options
@click.pass_context
def explore_command(
    ctx: click.Context,
    run: str,
    in_browser: bool | None,
    out: str | None,
    on: str,
    figures: bool,
    again: bool,
) -> None:
    """Open the explorer of RUN, or draw a VIEW of its latent space.

    The explorer is one page that opens from disk: images, maps, true distances and the decoder.
    It is explorer.html in the run's folder, and its path is printed. A run that was stopped is
    finished first, as by 'latentkit resume'.

    Several RUNs of the same images share one page. With --on all, the page also shows training and
    validation images, and their maps are fitted again. These pages are written to the current
    folder.

    A VIEW is drawn as PNG and SVG. An ITEM is a test image: its number from 0, class:NAME for the
    first image of a class, or class:NAME:2 for the third. 'latentkit explore RUN VIEW --help' shows
    the options of a view.

    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'.
    """
    ctx.obj = run
    if ctx.invoked_subcommand is not None:
        _refuse_page_options(ctx)
        return
    others = ctx.meta.get(_OTHERS, ())
    if figures:
        if others or on != "test":
            raise UserError("--figures draws the views of one run's test images: give one RUN")
        _draw_all(open_named(run), out)
        return
    from latentkit.api.explorer import page
    from latentkit.cli import outcome

    runs = [open_named(run), *(_open_other(other) for other in others)]
    with outcome.working_on_run(quiet=False) as listener:
        path = page(runs, on=_on(on), out=out, again=again, listener=listener)
    shared_options.echo(shared_options.near_path(path))
    if in_browser or (in_browser is None and _has_display()):
        _open_in_browser(path)


def _open_other(name: str) -> Run:
    """Open a further run; a word that is no run may be meant as a view."""
    try:
        return open_named(name)
    except UserError as error:
        near = did_you_mean(name, explore_command.commands)
        if not near:
            raise
        raise UserError(f"there is no run and no view {name!r}{near}") from error


def _refuse_page_options(ctx: click.Context) -> None:
    """Refuse options of the page before the name of a view, which would be ignored.

    Raises:
        UserError: names the option.
    """
    given = click.core.ParameterSource.COMMANDLINE
    for name in ("in_browser", "out", "on", "figures", "again"):
        if ctx.get_parameter_source(name) == given:
            option = "--open" if name == "in_browser" else f"--{name}"
            raise UserError(
                f"{option} belongs to the explorer page: leave it out, or give the options of "
                f"{ctx.invoked_subcommand} after its name"
            )


def _on(text: str) -> _Named | int:
    if text in get_args(_Named):
        return cast("_Named", text)
    if text.isdecimal():
        return int(text)
    raise UserError(f"--on {text}: should be test, all, or a number of images")


def _has_display() -> bool:
    """Return whether somebody at a terminal would see a browser."""
    if not sys.stdout.isatty():
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open_in_browser(path: Path) -> None:
    if not webbrowser.open(path.absolute().as_uri()):
        shared_options.warn("no browser could be started: open the file in one")


def _draw_all(run: Run, out: str | None) -> None:
    """Draw every view that the run allows, with the options of its report."""
    from latentkit.explore.exploration_figures import exploration_figures

    for drawing in exploration_figures(run.explored.context):
        if drawing.absent:
            shared_options.warn(f"{drawing.title} is left out: {drawing.absent}")
            continue
        name = drawing.name.removeprefix("explored-").replace("interpolation", "interpolate")
        figure, _ = drawing.draw()
        write_figure_of(
            run, name, figure, None if out is None else str(Path(out) / f"explore-{name}")
        )
