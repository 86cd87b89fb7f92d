"""``latentkit explore``: the explorer page, and views as figures."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import click

from latentkit.cli import shared_options
from latentkit.errors import StorageError, UserError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentkit.api.explore import Way
    from latentkit.api.run_handle import Run
    from latentkit.explore.explored_run import Source


WAYS: tuple[Way, ...] = ("linear", "spherical", "graph")
SOURCES: tuple[Source, ...] = ("prior", "mixture")


class Views(click.Group):
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
_RUNS = "latentkit.runs"


def _keep_runs(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep the folder of runs for `_open`; it may be given before or after the view's name."""
    if value is not None:
        ctx.meta[_RUNS] = value


_runs_option = click.option(
    "--runs", metavar="DIR", expose_value=False, callback=_keep_runs, help=shared_options.RUNS_HELP
)


@click.group(
    "explore",
    cls=Views,
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
@_runs_option
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
    Without options it is explorer.html in the run's folder. With several RUNs of the same images,
    one page shows all of them, and with --on all also training and validation images, whose maps
    are fitted again. Such pages are written to the working folder. The page's path is printed.

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
        _draw_all(_open(run), out)
        return
    from latentkit.api.explorer import page
    from latentkit.cli import outcome

    runs = [_open(run), *(_open_other(other) for other in others)]
    with outcome.working_on_run(quiet=False) as listener:
        path = page(runs, on=_on(on), out=out, again=again, listener=listener)
    shared_options.echo(shared_options.near_path(path))
    if in_browser or (in_browser is None and _has_display()):
        _open_in_browser(path)


def view(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all views accept, and pass the run as first argument."""
    function = _runs_option(shared_options.common_options(function))
    function = click.option(
        "--out",
        metavar="FILE",
        help="File to write instead of the run's figures: .png, .svg, or both without a suffix.",
    )(function)
    return click.pass_obj(function)


@explore_command.command("traversal")
@click.option("--item", metavar="ITEM", help="Start from this item, not from the mean latent.")
@click.option("--steps", type=int, default=9, show_default=True, help="Images per dimension.")
@click.option(
    "--reach",
    type=float,
    default=3.0,
    show_default=True,
    help="Largest distance from the mean, in sigmas.",
)
@click.option(
    "--dimension",
    "dimensions",
    type=int,
    multiple=True,
    help="Dimension to vary; repeatable.  [default: all]",
)
@click.option(
    "--most", type=click.IntRange(1), default=16, show_default=True, help="Maximum number of rows."
)
@view
def traversal(
    run: str,
    item: str | None,
    steps: int,
    reach: float,
    dimensions: tuple[int, ...],
    most: int,
    out: str | None,
) -> None:
    """Vary one latent dimension at a time."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import traversal_figure

    opened = _open(run)
    found = explore.traversals(
        opened, item, steps=steps, reach=reach, dimensions=dimensions or None, most=most
    )
    row = None if item is None else opened.explored.row(item)
    _write(opened, "traversal", traversal_figure(opened.explored, found, row), out)


@explore_command.command("grid")
@click.option(
    "--dimensions",
    metavar="I,J",
    help="Two dimensions that span the plane.  [default: the two directions of largest variance]",
)
@click.option(
    "--steps", type=int, default=16, show_default=True, help="Number of rows and of columns."
)
@view
def grid(run: str, dimensions: str | None, steps: int, out: str | None) -> None:
    """Decode a plane of the latents on a grid."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import grid_figure

    opened = _open(run)
    found = explore.grid(opened, _pair(dimensions), steps=steps)
    _write(opened, "grid", grid_figure(opened.explored, found), out)


@explore_command.command("interpolate")
@click.argument("a", metavar="ITEM")
@click.argument("b", metavar="ITEM")
@click.option(
    "--way",
    "ways",
    type=click.Choice(WAYS),
    multiple=True,
    help="Kind of path; repeatable.  [default: all]",
)
@click.option(
    "--steps", type=int, default=10, show_default=True, help="Images, including both ends."
)
@click.option(
    "--neighbours",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Neighbours of each latent in the graph.",
)
@view
def interpolate(
    run: str, a: str, b: str, ways: tuple[Way, ...], steps: int, neighbours: int, out: str | None
) -> None:
    """Interpolate between two ITEMs: on a line, on an arc, and from neighbour to neighbour."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import interpolation_figure

    opened = _open(run)
    rows = opened.explored.row(a), opened.explored.row(b)
    found = []
    for way in ways or WAYS:
        try:
            walk = explore.interpolate(opened, *rows, way=way, steps=steps, n_neighbors=neighbours)
        except UserError as error:
            if ways or way == "linear":
                raise
            shared_options.warn(f"the {way} path is left out: {error}")
        else:
            found.append(walk)
    _write(opened, "interpolate", interpolation_figure(opened.explored, found, rows), out)


@explore_command.command("samples")
@click.option("-n", "count", type=int, default=40, show_default=True, help="Images per source.")
@click.option(
    "--from",
    "sources",
    type=click.Choice(SOURCES),
    multiple=True,
    help="Source of the images; repeatable.  [default: all that the model has]",
)
@click.option(
    "--components",
    type=int,
    default=10,
    show_default=True,
    help="Number of components of the mixture.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), help="Seed of the draws.  [default: the run's]"
)
@view
def samples(
    run: str,
    count: int,
    sources: tuple[Source, ...],
    components: int,
    seed: int | None,
    out: str | None,
) -> None:
    """Draw images from the prior, and from a Gaussian mixture fitted to the latents."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import samples_figure

    opened = _open(run)
    chosen = sources or (SOURCES if opened.explored.has_prior else SOURCES[1:])
    found = [
        explore.samples(opened, count, source=source, components=components, seed=seed)
        for source in chosen
    ]
    _write(opened, "samples", samples_figure(opened.explored, found), out)


@explore_command.command("arithmetic")
@click.argument("item", metavar="ITEM")
@click.option("--plus", metavar="CLASS", required=True, help="Class whose mean latent is added.")
@click.option(
    "--minus", metavar="CLASS", required=True, help="Class whose mean latent is subtracted."
)
@view
def arithmetic(run: str, item: str, plus: str, minus: str, out: str | None) -> None:
    """Add the difference between two class means to an ITEM."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import arithmetic_figure

    opened = _open(run)
    found = explore.arithmetic(opened, item, plus=plus, minus=minus)
    row = opened.explored.row(item)
    figure = arithmetic_figure(opened.explored, found, row, plus, minus)
    _write(opened, "arithmetic", figure, out)


@explore_command.command("neighbours")
@click.argument("items", metavar="[ITEM]...", nargs=-1)
@click.option("--samples", type=click.IntRange(1), help="Use this many samples instead of ITEMs.")
@click.option(
    "--from",
    "source",
    type=click.Choice(SOURCES),
    help="Source of the samples.  [default: the prior, if there is one]",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of training images for each item.",
)
@view
def neighbours(
    run: str,
    items: tuple[str, ...],
    samples: int | None,
    source: Source | None,
    count: int,
    out: str | None,
) -> None:
    """Show the nearest training images of ITEMs or samples, to see whether they are copies."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import item_text, neighbours_figure

    if bool(items) == bool(samples):
        raise UserError("say whose neighbours to show: one or more ITEMs, or --samples N")
    opened = _open(run)
    explored = opened.explored
    if samples:
        drawn = explore.samples(opened, samples, source=source)
        found = explore.neighbours(opened, drawn, k=count)
        names = [f"sample {number}" for number in range(samples)]
    else:
        found = explore.neighbours(opened, items, k=count)
        names = [item_text(explored, explored.row(item)) for item in items]
    _write(opened, "neighbours", neighbours_figure(explored, found, names), out)


@explore_command.command("settings")
@click.argument("others", metavar="[RUN]...", nargs=-1)
@click.option(
    "--item",
    "items",
    metavar="ITEM",
    multiple=True,
    help="Test image to reconstruct; repeatable.  [default: 0 to 9]",
)
@view
def settings(run: str, others: tuple[str, ...], items: tuple[str, ...], out: str | None) -> None:
    """Reconstruct ITEMs with RUN and with other runs, e.g. of other epochs or latents."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import settings_figure

    runs = [_open(one) for one in (run, *others)]
    explored = runs[0].explored
    chosen = items or range(min(10, len(explored.latents())))
    rows = [explored.row(item) for item in chosen]
    found = explore.settings(runs, rows)
    _write(runs[0], "settings", settings_figure(explored, found, rows), out)


def _open(run: str) -> Run:
    from latentkit.api.commands import open_run

    shared_options.load_registry()
    return open_run(run, click.get_current_context().meta.get(_RUNS))


def _open_other(name: str) -> Run:
    """Open a further run; a word that is no run may be meant as a view."""
    try:
        return _open(name)
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
        _write(run, name, figure, None if out is None else str(Path(out) / f"explore-{name}"))


def _pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts: Sequence[str] = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UserError(f"--dimensions {text}: should be two numbers, such as 0,1")
    return int(parts[0]), int(parts[1])


def _write(run: Run, name: str, figure: Figure, out: str | None) -> None:
    """Write the figure and print its paths."""
    from latentkit.explore.exploration_figures import keep_figure, write_figure
    from latentkit.runs.packed import can_write

    if out is None:
        if not can_write(run.path):
            raise StorageError(f"{run.path} is read-only: choose another place with --out FILE")
        paths = keep_figure(run.explored.context.folder, f"explore-{name}", figure)
    else:
        paths = write_figure(figure, Path(out))
    for path in paths:
        shared_options.echo(shared_options.near_path(path))
