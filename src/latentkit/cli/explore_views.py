"""The views of ``latentkit explore``: figures of a run's latent space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import outcome, shared_options
from latentkit.errors import StorageError, UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentkit.api.explore import Way
    from latentkit.api.run_handle import Run
    from latentkit.explore.explored_run import Source


WAYS: tuple[Way, ...] = ("linear", "spherical", "graph")
SOURCES: tuple[Source, ...] = ("prior", "mixture")


_FOLDER = "latentkit.folder_of_"


def _keep_folder(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep a folder for `open_named`; it may be given before or after the view's name."""
    if value is not None:
        ctx.meta[f"{_FOLDER}{param.name}"] = value


def folder_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--runs`` and ``--data-dir``, whose values `open_named` finds."""
    function = outcome.data_option(function, expose_value=False, callback=_keep_folder)
    return click.option(
        "--runs",
        metavar="DIR",
        expose_value=False,
        callback=_keep_folder,
        help=shared_options.RUNS_HELP,
    )(function)


VIEWS = click.Group()


def view(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all views accept, and pass the run as first argument."""
    function = folder_options(shared_options.common_options(function))
    function = click.option(
        "--out",
        metavar="FILE",
        help="File to write instead of the run's figures: .png, .svg, or both without a suffix.",
    )(function)
    return click.pass_obj(function)


_items_option = click.option(
    "--items",
    "items_file",
    metavar="FILE",
    help="File that lists ITEMs, one on each line, as the explorer page exports them.",
)


def _listed(items: Sequence[str | None], file: str | None, *, only: int = 0) -> tuple[str, ...]:
    """Return items that were named, and those of a file.

    Args:
        items: on the command line; None for those that were not.
        file: of ``--items``.
        only: how many there should be; 0 for any number.

    Raises:
        UserError: there are more or fewer, or the file is no list of items.
    """
    from latentkit.explore.explored_run import read_items

    found = tuple(item for item in items if item is not None)
    if file is not None:
        found += read_items(Path(file))
    if only and len(found) != only:
        count = "1 ITEM is" if only == 1 else f"{only} ITEMs are"
        raise UserError(f"{count} needed, not {len(found)}: change ITEM or --items")
    return found


@VIEWS.command("traversal")
@click.option("--item", metavar="ITEM", help="Start from this item, not from the mean latent.")
@_items_option
@click.option(
    "--steps", type=int, metavar="N", default=9, show_default=True, help="Images per dimension."
)
@click.option(
    "--reach",
    type=float,
    metavar="X",
    default=3.0,
    show_default=True,
    help="Largest distance from the mean, in standard deviations.",
)
@click.option(
    "--dimension",
    "dimensions",
    type=int,
    metavar="N",
    multiple=True,
    help="Dimension to vary; repeatable.  [default: all]",
)
@click.option(
    "--most",
    type=click.IntRange(1),
    metavar="N",
    default=16,
    show_default=True,
    help="Maximum number of rows.",
)
@view
def traversal(
    run: str,
    item: str | None,
    items_file: str | None,
    steps: int,
    reach: float,
    dimensions: tuple[int, ...],
    most: int,
    out: str | None,
) -> None:
    """Vary one latent dimension at a time."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import traversal_figure

    if items_file is not None:
        (item,) = _listed((item,), items_file, only=1)
    opened = open_named(run)
    found = explore.traversals(
        opened, item, steps=steps, reach=reach, dimensions=dimensions or None, most=most
    )
    row = None if item is None else opened.explored.row(item)
    write_figure_of(opened, "traversal", traversal_figure(opened.explored, found, row), out)


@VIEWS.command("grid")
@click.option(
    "--dimensions",
    metavar="I,J",
    help="Two dimensions that span the plane.  [default: the two directions of largest variance]",
)
@click.option(
    "--steps",
    type=int,
    metavar="N",
    default=16,
    show_default=True,
    help="Number of rows and of columns.",
)
@view
def grid(run: str, dimensions: str | None, steps: int, out: str | None) -> None:
    """Decode a plane of the latents on a grid."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import grid_figure

    opened = open_named(run)
    found = explore.grid(opened, _pair(dimensions), steps=steps)
    write_figure_of(opened, "grid", grid_figure(opened.explored, found), out)


@VIEWS.command("interpolate")
@click.argument("items", metavar="ITEM ITEM", nargs=-1)
@_items_option
@click.option(
    "--way",
    "ways",
    type=click.Choice(WAYS),
    multiple=True,
    help="Kind of path; repeatable.  [default: all]",
)
@click.option(
    "--steps",
    type=int,
    metavar="N",
    default=10,
    show_default=True,
    help="Number of images, including both ends.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(1),
    metavar="N",
    default=10,
    show_default=True,
    help="Neighbours of each latent in the graph.",
)
@view
def interpolate(
    run: str,
    items: tuple[str, ...],
    items_file: str | None,
    ways: tuple[Way, ...],
    steps: int,
    neighbours: int,
    out: str | None,
) -> None:
    """Interpolate between two ITEMs: on a line, on an arc, and from neighbour to neighbour."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import interpolation_figure

    a, b = _listed(items, items_file, only=2)
    opened = open_named(run)
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
    write_figure_of(opened, "interpolate", interpolation_figure(opened.explored, found, rows), out)


@VIEWS.command("samples")
@click.option(
    "-n", "count", type=int, metavar="N", default=40, show_default=True, help="Images per source."
)
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
    metavar="N",
    default=10,
    show_default=True,
    help="Number of components of the mixture.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    help="Seed of the draws.  [default: the run's]",
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

    opened = open_named(run)
    chosen = sources or (SOURCES if opened.explored.has_prior else SOURCES[1:])
    found = [
        explore.samples(opened, count, source=source, components=components, seed=seed)
        for source in chosen
    ]
    write_figure_of(opened, "samples", samples_figure(opened.explored, found), out)


@VIEWS.command("arithmetic")
@click.argument("item", metavar="ITEM", required=False)
@_items_option
@click.option("--plus", metavar="CLASS", required=True, help="Class whose mean latent is added.")
@click.option(
    "--minus", metavar="CLASS", required=True, help="Class whose mean latent is subtracted."
)
@view
def arithmetic(
    run: str, item: str | None, items_file: str | None, plus: str, minus: str, out: str | None
) -> None:
    """Add the difference between two class means to an ITEM."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import arithmetic_figure

    (item,) = _listed((item,), items_file, only=1)
    opened = open_named(run)
    found = explore.arithmetic(opened, item, plus=plus, minus=minus)
    row = opened.explored.row(item)
    figure = arithmetic_figure(opened.explored, found, row, plus, minus)
    write_figure_of(opened, "arithmetic", figure, out)


@VIEWS.command("neighbours")
@click.argument("items", metavar="[ITEM]...", nargs=-1)
@_items_option
@click.option(
    "--samples", type=click.IntRange(1), metavar="N", help="Use N samples instead of ITEMs."
)
@click.option(
    "--from",
    "source",
    type=click.Choice(SOURCES),
    help="Source of the samples.  [default: the prior, if there is one]",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="N",
    default=5,
    show_default=True,
    help="Number of training images for each item.",
)
@view
def neighbours(
    run: str,
    items: tuple[str, ...],
    items_file: str | None,
    samples: int | None,
    source: Source | None,
    count: int,
    out: str | None,
) -> None:
    """Show the nearest training images of ITEMs or samples, to see whether they are copies."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import item_text, neighbours_figure

    items = _listed(items, items_file)
    if bool(items) == bool(samples):
        raise UserError("say whose neighbours to show: one or more ITEMs, or --samples N")
    opened = open_named(run)
    explored = opened.explored
    if samples:
        drawn = explore.samples(opened, samples, source=source)
        found = explore.neighbours(opened, drawn, k=count)
        names = [f"sample {number}" for number in range(samples)]
    else:
        found = explore.neighbours(opened, items, k=count)
        names = [item_text(explored, explored.row(item)) for item in items]
    write_figure_of(opened, "neighbours", neighbours_figure(explored, found, names), out)


@VIEWS.command("settings")
@click.argument("others", metavar="[RUN]...", nargs=-1)
@click.option(
    "--item",
    "items",
    metavar="ITEM",
    multiple=True,
    help="Test image to reconstruct; repeatable.  [default: 0 to 9]",
)
@_items_option
@view
def settings(
    run: str,
    others: tuple[str, ...],
    items: tuple[str, ...],
    items_file: str | None,
    out: str | None,
) -> None:
    """Reconstruct ITEMs with RUN and with other runs, e.g. of other epochs or latents."""
    from latentkit.api import explore
    from latentkit.explore.exploration_figures import settings_figure

    runs = [open_named(one) for one in (run, *others)]
    explored = runs[0].explored
    chosen = _listed(items, items_file) or range(min(10, len(explored.latents())))
    rows = [explored.row(item) for item in chosen]
    found = explore.settings(runs, rows)
    write_figure_of(runs[0], "settings", settings_figure(explored, found, rows), out)


def open_named(run: str) -> Run:
    """Open the run of that name; the folders may be given before or after the view."""
    from latentkit.api.commands import open_run

    shared_options.load_registry()
    given = click.get_current_context().meta
    return open_run(run, given.get(f"{_FOLDER}runs"), data=given.get(f"{_FOLDER}data_dir"))


def _pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts: Sequence[str] = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UserError(f"--dimensions {text}: should be two numbers, such as 0,1")
    return int(parts[0]), int(parts[1])


def write_figure_of(run: Run, name: str, figure: Figure, out: str | None) -> None:
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
