"""``latentkit embed``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.choices import part_option, settings_option
from latentkit.cli.common import common_options, load_registry, parse_options, part_completion
from latentkit.cli.outcome import data_option, run_options, show_maps, show_outcome, working_on_run
from latentkit.errors import UserError

if TYPE_CHECKING:
    from latentkit.pipeline.vector_maps import VectorMaps
    from latentkit.plugin.events import Listener

_SUFFIXES = (".npy", ".npz")


@click.command("embed")
@click.argument("source", required=False)
@click.option(
    "--embed",
    metavar="NAME",
    multiple=True,
    required=True,
    shell_complete=part_completion("embedding"),
    help="Embedding to use; repeatable.",
)
@click.option(
    "--on",
    metavar="test|train|validation|all|N",
    help="What to map: a split, all splits, or N random points of all.  [default: test]",
)
@click.option(
    "--align-to",
    metavar="RUN[#MAP]",
    help="Align the maps to those of another run, or to another map (#MAP) of this run.",
)
@part_option("--dataset", "dataset", "Map the raw pixels of a data set instead of a SOURCE.")
@click.option("--labels", metavar="FILE", help="Labels of a file's vectors: .npy or .npz.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    help="Seed for maps of vectors and pixels.",
)
@click.option(
    "--out",
    metavar="DIR",
    default="maps",
    help="Folder for maps of vectors and pixels.  [default: maps]",
)
@settings_option("Set an option of an embedding, e.g. -o isomap.n_neighbors=20.")
@data_option
@run_options
@common_options
def command(
    source: str | None,
    embed: tuple[str, ...],
    on: str | None,
    align_to: str | None,
    dataset: str | None,
    labels: str | None,
    seed: int,
    out: str,
    options: tuple[str, ...],
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Map a run's latents, the vectors of a file, or the pixels of a data set.

    SOURCE is a run: its folder, its name in ./runs, an unambiguous start or end of that name, or
    'last'. The maps are added to the run, and its report is written again. SOURCE may also be a
    .npy or .npz file of vectors (N, D). Maps of such a file or of --dataset get their own folder.
    """
    if (source is None) == (dataset is None):
        raise UserError("say what to map: a run, a .npy or .npz file, or --dataset NAME")
    load_registry()
    chosen = parse_options(options)
    if dataset is None and source is not None and not _is_file(source):
        from latentkit.api import work

        with working_on_run(quiet) as listener:
            finished = work.embed(
                source,
                embed,
                on=_number_or_name(on),
                align_to=align_to,
                options=chosen,
                data=data_dir,
                listener=listener,
            )
        show_outcome(finished, as_json=as_json, quiet=quiet)
        return
    if align_to:
        raise UserError("--align-to works only for maps of runs: leave it out")
    with working_on_run(quiet) as listener:
        if dataset is not None:
            maps = _embed_pixels(dataset, embed, on, seed, out, chosen, data_dir, listener)
        else:
            maps = _embed_file(str(source), embed, on, labels, seed, out, chosen, listener)
    show_maps(maps, as_json=as_json, quiet=quiet)


def _is_file(source: str) -> bool:
    return source.endswith(_SUFFIXES) and not os.path.isdir(source)  # noqa: PTH112


def _number_or_name(on: str | None) -> str | int | None:
    return int(on) if on is not None and on.isdecimal() else on


def _embed_file(
    path: str,
    embed: tuple[str, ...],
    on: str | None,
    labels: str | None,
    seed: int,
    out: str,
    options: dict[str, Any],
    listener: Listener,
) -> VectorMaps:
    from latentkit.api.vectors import embed_vectors

    count = _number_or_name(on)
    if isinstance(count, str) and count != "all":
        raise UserError(f"--on {on}: a file of vectors has no splits: say 'all' or a number")
    return embed_vectors(
        Path(path),
        embed,
        labels=labels,
        on=count if isinstance(count, int) else None,
        options=options,
        seed=seed,
        out=out,
        listener=listener,
    )


def _embed_pixels(
    dataset: str,
    embed: tuple[str, ...],
    on: str | None,
    seed: int,
    out: str,
    options: dict[str, Any],
    data_dir: str | None,
    listener: Listener,
) -> VectorMaps:
    from latentkit.api.vectors import embed_vectors, images_of

    own = {k.partition(".")[2]: v for k, v in options.items() if k.startswith(f"{dataset}.")}
    count = _number_or_name(on or "test")
    split = "all" if isinstance(count, int) else str(count)
    return embed_vectors(
        images_of(dataset, split, data=data_dir, **own),
        embed,
        on=count if isinstance(count, int) else None,
        options={k: v for k, v in options.items() if not k.startswith(f"{dataset}.")},
        seed=seed,
        out=out,
        name=f"{dataset}-pixels",
        listener=listener,
    )
