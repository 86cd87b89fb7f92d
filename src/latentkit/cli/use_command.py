"""``latentkit encode``, ``reconstruct``, ``classify``, ``sample``, ``pack`` and ``unpack``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from latentkit.cli import outcome, shared_options
from latentkit.cli.display import progress_display
from latentkit.errors import UserError
from latentkit.plugin.events import Listener, RunPreparing
from latentkit.plugin.machine import DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentkit.api.run_handle import Run
    from latentkit.data.new_images import Unreadable
    from latentkit.explore.encoded import EncodedImages
    from latentkit.explore.explored_run import Source
    from latentkit.export.tables import TablePart
    from latentkit.plugin.machine import Device
    from latentkit.transfer.classified import ClassifiedImages

_SHOWN = 20  # most unreadable files that are named on the terminal; --json names all
Command = Callable[..., Any]
_Part = TypeVar("_Part", bound=Sized)


def _takes_images(function: Command) -> Command:
    """Add the arguments and options of commands that read images."""
    options = (
        click.argument("images", nargs=-1, metavar="[IMAGES]..."),
        shared_options.part_option("--dataset", "dataset", "Take the images of a data set."),
        click.option(
            "--split",
            type=click.Choice(("train", "test", "all")),
            default="test",
            show_default=True,
            help="Which images of --dataset to take.",
        ),
        shared_options.settings_option(
            "Set an option of --dataset, e.g. -o image-folder.path=photos."
        ),
        click.option(
            "--unreadable",
            type=click.Choice(("refuse", "skip")),
            default="refuse",
            show_default=True,
            help="Whether files that cannot be read are an error, or are named and left out.",
        ),
        click.option(
            "--device",
            type=click.Choice(DEVICES),
            default="auto",
            show_default=True,
            help="Device to compute on.",
        ),
        outcome.data_option,
    )
    for option in reversed(options):  # the first one in the list is the first one in the help
        function = option(function)
    return function


def _prints(function: Command) -> Command:
    """Add ``--runs``, ``--json``, ``--quiet`` and the common options."""
    for option in (
        shared_options.common_options,
        click.option("--quiet", "-q", is_flag=True, help="Show no progress, only warnings."),
        shared_options.json_option(),
        shared_options.runs_option,
    ):
        function = option(function)
    return function


def _open(run: str, runs_dir: str | None) -> Run:
    from latentkit.api.commands import open_run

    shared_options.load_registry()
    return open_run(run, runs_dir)


def _source(
    images: tuple[str, ...],
    dataset: str | None,
    split: str,
    options: tuple[str, ...],
    data_dir: str | None,
) -> Any:
    """Return what the user named: paths, or the images of a data set."""
    if bool(images) == (dataset is not None):
        raise UserError(
            "say which images to take: files, folders or patterns, or --dataset NAME for those of "
            "a data set"
        )
    chosen = shared_options.parse_options(options)
    if dataset is None:
        if chosen:
            raise UserError("-o sets options of a data set: add --dataset NAME")
        return list(images)
    from latentkit.api.building_blocks import images_of

    before = f"{dataset}."
    if odd := [key for key in chosen if not key.startswith(before)]:
        raise UserError(f"-o {odd[0]}: only options of {dataset} can be set here")
    own = {key.removeprefix(before): value for key, value in chosen.items()}
    return images_of(dataset, split, data=data_dir, **own)


@contextmanager
def _working(quiet: bool, stage: str) -> Iterator[Listener]:
    with shared_options.work_of_parts(), progress_display(quiet) as display:
        display(RunPreparing((stage,)))
        yield display


def _say_left_out(unreadable: dict[str, str]) -> None:
    for name, why in list(unreadable.items())[:_SHOWN]:
        shared_options.warn(f"left out {name}: {why}")
    if len(unreadable) > _SHOWN:
        shared_options.warn(f"left out {len(unreadable) - _SHOWN:,} more files; --json names all")


def _table_path(out: str, images: tuple[str, ...]) -> Path:
    """Return the path of a table, after checking that it can be written and is no image."""
    from latentkit.export.tables import check_table

    path = Path(out).expanduser()
    check_table(path)
    if path.exists() and any(Path(one).exists() and path.samefile(one) for one in images):
        raise UserError(f"--out {out} is one of the images: choose another file")
    return path


@click.command("encode")
@click.argument("run")
@_takes_images
@click.option(
    "--out",
    metavar="FILE",
    default="latents.csv",
    show_default=True,
    help="File of the results: .csv, .parquet or .npz.",
)
@click.option(
    "--map",
    "maps",
    metavar="NAME",
    multiple=True,
    help="Place the images in this map of RUN only; repeatable.  [default: all]",
)
@click.option("--no-maps", is_flag=True, help="Place the images in no map.")
@_prints
def encode_command(
    run: str,
    images: tuple[str, ...],
    dataset: str | None,
    split: str,
    options: tuple[str, ...],
    unreadable: Unreadable,
    device: Device,
    data_dir: str | None,
    out: str,
    maps: tuple[str, ...],
    no_maps: bool,
    runs_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Encode new IMAGES with RUN, and compare them with the images of RUN.

    IMAGES are files, folders or patterns such as 'photos/*.png'. RUN is a run's folder, its name in
    the folder of runs, an unambiguous start or end of that name, 'last', or a packed run. The
    result has a row for each image: its latents, the error of its reconstruction, its novelty (the
    distance to the nearest latent of a training image), and its coordinates in the maps of RUN that
    can place new points. Error and novelty are also given as percentiles among the test images of
    RUN.
    """
    if maps and no_maps:
        raise UserError("--map and --no-maps exclude each other: leave one out")
    path = _table_path(out, images)
    opened = _open(run, runs_dir)
    with _working(quiet, "encode") as listener:
        parts = opened.encode_parts(
            _source(images, dataset, split, options, data_dir),
            maps=() if no_maps else (maps or None),
            unreadable=unreadable,
            device=device,
            listener=listener,
        )
        last, count = _write_parts(path, parts, _rows_of_encoded)
    for name, why in last.left_out.items():
        shared_options.warn(f"no coordinates in map {name}: {why}")
    facts = {"images": count, "latent_dim": last.latents.shape[1]}
    maps_of = {"maps": list(last.coordinates), "left_out_maps": dict(last.left_out)}
    _show(path, facts | maps_of | {"notes": last.notes}, dict(last.unreadable), as_json)


def _rows_of_encoded(part: EncodedImages) -> TablePart:
    from latentkit.export.tables import TablePart

    arrays: dict[str, NDArray[Any] | None] = {
        "latents": part.latents,
        "error": part.errors,
        "error_percentile": part.error_percentiles,
        "novelty": part.novelty,
        "novelty_percentile": part.novelty_percentiles,
        **{f"map_{name}": placed for name, placed in part.coordinates.items()},
    }
    return TablePart(part.columns(), arrays)


def _rows_of_classified(part: ClassifiedImages, top: int) -> TablePart:
    from latentkit.export.tables import TablePart

    return TablePart(
        part.columns(top), {"probabilities": part.probabilities, "labels": part.labels}
    )


def _write_parts(
    path: Path, parts: Iterable[_Part], rows: Callable[[_Part], TablePart]
) -> tuple[_Part, int]:
    """Write results to a table; return their last part and the number of images."""
    from latentkit.export.tables import write_table

    written: list[_Part] = []
    count = 0

    def table() -> Iterator[TablePart]:
        nonlocal count
        for part in parts:
            written[:] = [part]
            count += len(part)
            yield rows(part)

    write_table(path, table())
    return written[0], count


def _show(path: Path, facts: dict[str, Any], unreadable: dict[str, str], as_json: bool) -> None:
    """Print where the result is, and on stderr what was left out."""
    if as_json:
        named = {key.encode(errors="backslashreplace").decode(): v for key, v in unreadable.items()}
        shared_options.print_json({"path": str(path), **facts, "unreadable": named})
    else:
        _say_left_out(unreadable)
        shared_options.echo(shared_options.near_path(path))


@click.command("classify")
@click.argument("run", metavar="TRANSFER")
@_takes_images
@click.option(
    "--out",
    metavar="FILE",
    default="predictions.csv",
    show_default=True,
    help="File of the results: .csv, .parquet or .npz.",
)
@click.option(
    "--top",
    type=int,
    metavar="N",
    default=5,
    show_default=True,
    callback=shared_options.check_positive,
    help="Number of classes for each image.",
)
@_prints
def classify_command(
    run: str,
    images: tuple[str, ...],
    dataset: str | None,
    split: str,
    options: tuple[str, ...],
    unreadable: Unreadable,
    device: Device,
    data_dir: str | None,
    out: str,
    top: int,
    runs_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Classify new IMAGES with a TRANSFER.

    IMAGES are files, folders or patterns such as 'photos/*.png'. TRANSFER is a run of 'latentkit
    transfer': its folder, its name in the folder of runs, an unambiguous start or end of that name,
    'last', or a packed run. The result has a row for each image: the most probable classes and
    their probabilities.
    """
    path = _table_path(out, images)
    opened = _open(run, runs_dir)
    with _working(quiet, "classify") as listener:
        parts = opened.predict_parts(
            _source(images, dataset, split, options, data_dir),
            unreadable=unreadable,
            device=device,
            listener=listener,
        )
        last, count = _write_parts(path, parts, partial(_rows_of_classified, top=top))
    facts = {"images": count, "classes": last.class_names, "notes": last.notes}
    _show(path, facts, dict(last.unreadable), as_json)


@click.command("reconstruct")
@click.argument("run")
@_takes_images
@click.option("--out", metavar="DIR", required=True, help="Folder for the reconstructions.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist in --out.")
@_prints
def reconstruct_command(
    run: str,
    images: tuple[str, ...],
    dataset: str | None,
    split: str,
    options: tuple[str, ...],
    unreadable: Unreadable,
    device: Device,
    data_dir: str | None,
    out: str,
    overwrite: bool,
    runs_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Reconstruct new IMAGES with RUN; a run that learned to remove noise removes it.

    IMAGES are files, folders or patterns such as 'photos/*.png'. RUN is a run's folder, its name in
    the folder of runs, an unambiguous start or end of that name, 'last', or a packed run. No
    corruption is added to the images. Each result is a PNG of the size of RUN's images, named after
    its file.
    """
    from latentkit.data.new_images import GivenFiles, loss_notes
    from latentkit.export.tables import FolderOfImages

    opened = _open(run, runs_dir)
    with _working(quiet, "reconstruct") as listener:
        given = opened.given_images(
            _source(images, dataset, split, options, data_dir), unreadable, listener
        )
        folder = FolderOfImages(Path(out).expanduser(), given.form.shape[0], overwrite)
        if isinstance(given, GivenFiles):
            targets = folder.named_after(given.paths)
        else:
            targets = {
                name: folder.numbered(row, len(given)) for row, name in enumerate(given.names)
            }
        folder.check(targets.values())
        count = 0
        for names, rebuilt in opened.reconstructions(given, device=device, listener=listener):
            for name, image in zip(names, rebuilt, strict=True):
                folder.write(targets[name], image)
            count += len(names)
    facts = {"images": count, "notes": loss_notes(given)}
    _show(folder.path, facts, dict(given.unreadable), as_json)


@click.command("sample")
@click.argument("run")
@click.option(
    "-n", "count", type=int, metavar="N", default=64, show_default=True, help="Number of images."
)
@click.option("--out", metavar="DIR", required=True, help="Folder for the images.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist in --out.")
@click.option(
    "--from",
    "source",
    type=click.Choice(("prior", "mixture")),
    help="Source of the images.  [default: the prior, if the model has one]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    help="Seed of the draws.  [default: the run's]",
)
@_prints
def sample_command(
    run: str,
    count: int,
    out: str,
    overwrite: bool,
    source: Source | None,
    seed: int | None,
    runs_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw new images from RUN's model, and write each as a PNG.

    They come from the model's prior, or from a mixture of Gaussians fitted to the latents of the
    training images. RUN is a run's folder, its name in the folder of runs, an unambiguous start or
    end of that name, 'last', or a packed run.
    """
    from latentkit.export.tables import FolderOfImages

    opened = _open(run, runs_dir)
    with shared_options.work_of_parts():
        drawn = opened.sample(count, source=source, seed=seed)
        folder = FolderOfImages(Path(out).expanduser(), drawn.images.shape[1], overwrite)
        targets = [folder.numbered(row, count) for row in range(count)]
        folder.check(targets)
        for target, image in zip(targets, drawn.images, strict=True):
            folder.write(target, image)
    _show(folder.path, {"images": count, "source": drawn.source}, {}, as_json)


@click.command("pack")
@click.argument("run")
@click.option(
    "--out", metavar="FILE", help="File or folder for the packed run.  [default: RUN.latentkit]"
)
@click.option(
    "--pictures", is_flag=True, help="Keep figures, report and explorer, which show images."
)
@_prints
def pack_command(
    run: str, out: str | None, pictures: bool, runs_dir: str | None, as_json: bool, quiet: bool
) -> None:
    """Write RUN as one file, which other machines read.

    The file has the weights, the configuration, the evaluation card, latents and maps, and the
    versions of plugins. It has no images, unless --pictures keeps figures, report and explorer.
    Every command that reads a run takes such a file: latentkit runs NAME.latentkit.
    """
    from latentkit.api.files import pack

    shared_options.load_registry()
    path = pack(run, out=out, pictures=pictures, runs=runs_dir)
    if as_json:
        shared_options.print_json({"path": str(path), "bytes": path.stat().st_size})
    else:
        shared_options.echo(shared_options.near_path(path))


@click.command("unpack")
@click.argument("file")
@_prints
def unpack_command(file: str, runs_dir: str | None, as_json: bool, quiet: bool) -> None:
    """Make a folder of the packed run FILE in the folder of runs, to change or resume it."""
    from latentkit.api.files import unpack

    run = unpack(file, runs=runs_dir)
    if as_json:
        shared_options.print_json(run.summary)
    else:
        shared_options.echo(shared_options.near_path(run.path))
