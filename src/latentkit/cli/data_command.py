"""``latentkit data``: list data sets, check or look at one, and the cache of decoded images."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from latentkit.cli import shared_options
from latentkit.cli.outcome import data_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentkit.config import PartConfig
    from latentkit.plugin.images import ImageData
    from latentkit.plugin.specs import DatasetSpec

_NAMED = 10  # most unreadable files that are printed
_WHERE = {
    "bundled": "nothing to download",
    "download": "downloaded when first used",
    "local": "your own files",
}


@click.group("data", cls=shared_options.CommandGroup)
def data_command() -> None:
    """List data sets, check, draw or verify one, and free disk space."""


def _one_data_set(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and options that choose a data set."""
    for option in (
        shared_options.settings_option("Set an option, e.g. -o image-folder.path=photos."),
        click.argument("name", shell_complete=shared_options.part_completion("dataset")),
    ):
        function = option(function)
    return data_option(function)


@data_command.command("list")
@data_option
@shared_options.json_option()
@shared_options.common_options
def list_data(data_dir: str | None, as_json: bool) -> None:
    """List the data sets, and whether their files are on this machine."""
    from latentkit.api.inputs import data_dir as folder_of_data

    folder = folder_of_data(data_dir)
    facts = [
        {
            **_listed(cast("DatasetSpec", part.spec), folder),
            "distribution": part.plugin.distribution,
        }
        for part in shared_options.load_registry().parts("dataset")
    ]
    if as_json:
        shared_options.print_json(facts)
        return
    rows = ((f["name"], f["summary"], _whereabouts(f)) for f in facts)
    shared_options.print_rows(("name", "what it does", "images"), rows)


def _listed(spec: DatasetSpec, folder: Path) -> dict[str, Any]:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "source": next((tag for tag in _WHERE if tag in spec.tags), ""),
        "here": _are_here(spec.files, folder),
        "megabytes": spec.megabytes or None,
    }


def _are_here(files: tuple[str, ...], folder: Path) -> bool | None:
    """Return whether all files exist in a folder, or None if the data set names no files."""
    return all(any(folder.glob(pattern)) for pattern in files) if files else None


def _whereabouts(facts: dict[str, Any]) -> str:
    if facts["here"] is None:
        return _WHERE.get(facts["source"], "")
    if facts["here"]:
        return "here"
    return "not here yet" + (f", {facts['megabytes']} MB" if facts["megabytes"] else "")


@data_command.command("preview")
@_one_data_set
@click.option(
    "--split",
    type=click.Choice(("train", "test")),
    default="train",
    show_default=True,
    help="Which images to draw.",
)
@click.option("--out", metavar="FILE", help="File for the picture.  [default: NAME-SPLIT.png]")
@shared_options.common_options
def preview(
    name: str, options: tuple[str, ...], data_dir: str | None, split: str, out: str | None
) -> None:
    """Draw the first images of each class."""
    _, chosen = _choose(name, options)
    images = _load(chosen, split, data_dir)
    for note in images.notes:
        shared_options.echo(f"note: {note}", err=True)
    from latentkit.atomic import write_atomically
    from latentkit.figures.image_grids import sample_grid
    from latentkit.figures.style import save_png

    path = Path(out or f"{name.replace(':', '.')}-{split}.png")
    title = f"{name}: {len(images):,} {split} images, {'x'.join(map(str, images.image_shape))}"
    names, channels = images.class_names, images.display_channels
    figure = sample_grid(images.images, images.labels, names, title, channels=channels)
    write_atomically(path, lambda temporary: save_png(figure, temporary))
    shared_options.echo(path)


@data_command.command("verify")
@_one_data_set
@shared_options.json_option()
@shared_options.common_options
def verify(name: str, options: tuple[str, ...], data_dir: str | None, as_json: bool) -> None:
    """Load a whole data set, compare published checksums, and print its SHA-256."""
    spec, chosen = _choose(name, options)
    from latentkit.plugin.downloads import files_compared

    with files_compared() as compared:
        facts = {split: _facts(_load(chosen, split, data_dir)) for split in ("train", "test")}
    verdict = _verdict(spec, len(compared))
    if as_json:
        shared_options.print_json(
            {"dataset": name, "verdict": verdict, "md5": list(map(str, compared)), **facts}
        )
        return
    shared_options.echo(f"{name}: {verdict}")
    for split, found in facts.items():
        shared_options.echo(
            f"{split}: {found['n']:,} images {'x'.join(map(str, found['image_shape']))}"
        )
        if found["classes"]:
            shared_options.echo("  " + ", ".join(f"{k} {n:,}" for k, n in found["classes"].items()))
        if found["factors"]:
            shared_options.echo(f"  factors {', '.join(found['factors'])}")
        shared_options.echo(f"  SHA-256 of the arrays {found['sha256']}")
    for note in facts["train"]["notes"]:
        shared_options.echo(f"note: {note}")
    shared_options.echo(f"licence: {facts['train']['licence'] or 'not stated'}")


def _verdict(spec: DatasetSpec, compared: int) -> str:
    """Return a sentence on how many files match their published checksums."""
    files = max(compared, len(spec.files))
    if not compared:
        fetched = "download" in spec.tags
        return "no published MD5 was compared" if fetched else "no checksum is published"
    if compared < files:
        return (
            f"{compared} of the {files} files match their published MD5; the rest were not compared"
        )
    if files == 1:
        return "its file matches its published MD5"
    return f"the {files} files match their published MD5"


def _choose(name: str, options: tuple[str, ...]) -> tuple[DatasetSpec, PartConfig]:
    registry = shared_options.load_registry()
    from latentkit.api.inputs import configure

    chosen = configure(
        registry, dataset=name, options=shared_options.parse_options(options)
    ).dataset
    return cast("DatasetSpec", chosen.part.spec), chosen


def _load(chosen: PartConfig, split: str, data_dir: str | None) -> ImageData:
    from latentkit.api.building_blocks import dataset

    with shared_options.work_of_parts():
        return dataset(
            chosen.name,
            "train" if split == "train" else "test",
            data=data_dir,
            **chosen.options.model_dump(),
        )


def _facts(images: ImageData) -> dict[str, Any]:
    counts = Counter() if images.labels is None else Counter(images.labels.tolist())
    return {
        "n": len(images),
        "image_shape": list(images.image_shape),
        "classes": {images.class_names[code]: counts[code] for code in sorted(counts)},
        "factors": list(images.factor_names),
        "licence": images.licence,
        "notes": list(images.notes),
        "sha256": images.digest(),
    }


@data_command.command("check")
@click.argument("source")
@shared_options.settings_option("Set an option, e.g. -o image-folder.size=128.")
@data_option
@click.option("--out", metavar="FILE", help="Also write an HTML page with pictures.")
@shared_options.json_option()
@shared_options.common_options
def check(
    source: str, options: tuple[str, ...], data_dir: str | None, out: str | None, as_json: bool
) -> None:
    """Say what a data set holds, what cannot be read, and which images it has twice.

    SOURCE is a folder of images, a file of arrays, or the name of a data set.
    """
    from latentkit.api.check_data import check_data
    from latentkit.cli.display import progress_display
    from latentkit.plugin.events import RunPreparing
    from latentkit.report.data_page import check_document, findings

    chosen = shared_options.parse_options(options)
    with shared_options.work_of_parts(), progress_display() as display:
        display(RunPreparing(("check",)))
        found = check_data(source, options=chosen, out=out, data=data_dir, listener=display)
    if as_json:
        shared_options.print_json(check_document(found))
        return
    shared_options.print_facts(findings(found))
    for path, why in list(found.unreadable.items())[:_NAMED]:
        shared_options.echo(f"cannot read {path}: {why}", err=True)
    for note in found.notes:
        shared_options.echo(f"note: {note}", err=True)
    if out:
        shared_options.echo(out)


@data_command.command("cache")
@click.option("--prune", is_flag=True, help="Delete all sets, or those beyond --keep.")
@click.option(
    "--keep",
    metavar="GB",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="With --prune: keep the sets used last, up to this many gigabytes.",
)
@shared_options.json_option()
@shared_options.common_options
def cache(prune: bool, keep: float, as_json: bool) -> None:
    """List or delete the decoded images that later commands use again.

    Deleted images are decoded again when they are needed. LATENTKIT_CACHE names another folder,
    and LATENTKIT_CACHE_LIMIT how many gigabytes it may have (a quarter of the disk otherwise).
    """
    from latentkit.plugin import image_cache

    folder = image_cache.cache_folder()
    if prune:
        sets = image_cache.prune(int(keep * 1e9), folder=folder)
    else:
        sets = image_cache.cached_sets(folder)
    total = sum(one.bytes for one in sets)
    if as_json:
        facts = [asdict(one) for one in sets]
        document = {"folder": str(folder), "deleted": prune, "bytes": total, "sets": facts}
        shared_options.print_json(document)
        return
    if not prune:
        rows = (
            (
                one.source or one.key,
                f"{one.count:,}",
                "x".join(map(str, one.shape)),
                _size(one.bytes),
            )
            for one in sets
        )
        shared_options.print_rows(("made of", "images", "shape", "size"), rows)
    found = f"{len(sets)} set{'' if len(sets) == 1 else 's'}, {_size(total)}"
    shared_options.echo(f"{found}, {'deleted from' if prune else 'in'} {folder}")


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
