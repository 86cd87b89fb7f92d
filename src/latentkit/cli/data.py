"""``latentkit data``: list data sets, look at one, verify one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.choices import settings_option
from latentkit.cli.common import (
    common_options,
    load_registry,
    parse_options,
    part_completion,
    print_json,
    print_rows,
    work_of_parts,
)
from latentkit.cli.outcome import data_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentkit.plugin.images import ImageData

_WHERE = {"bundled": "nothing to download", "download": "downloaded once", "local": "yours"}


@click.group("data")
def command() -> None:
    """List data sets, look at one, verify one."""


def _one_data_set(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what names a data set and its options."""
    for option in (
        settings_option("Set an option, e.g. -o image-folder.path=photos."),
        click.argument("name", shell_complete=part_completion("dataset")),
    ):
        function = option(function)
    return data_option(function)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def list_data(as_json: bool) -> None:
    """List the data sets that there are."""
    facts = [
        {
            "name": part.spec.name,
            "summary": part.spec.summary,
            "source": next((t for t in _WHERE if t in part.spec.tags), ""),
            "distribution": part.plugin.distribution,
        }
        for part in load_registry().parts("dataset")
    ]
    if as_json:
        print_json(facts)
        return
    rows = ((f["name"], f["summary"], _WHERE.get(f["source"], "")) for f in facts)
    print_rows(("name", "what it does", "images"), rows)


@command.command("preview")
@_one_data_set
@click.option("--split", type=click.Choice(("train", "test")), default="train", show_default=True)
@click.option("--out", metavar="FILE", help="The picture.  [default: NAME-SPLIT.png]")
@common_options
def preview(
    name: str, options: tuple[str, ...], data_dir: str | None, split: str, out: str | None
) -> None:
    """Draw the first images of each class."""
    images = _load(name, split, options, data_dir)
    from latentkit.figures.images import sample_grid
    from latentkit.figures.style import save_png
    from latentkit.runs.commit import write_atomically

    path = Path(out or f"{name.replace(':', '.')}-{split}.png")
    title = f"{name}: {len(images):,} {split} images, {'x'.join(map(str, images.image_shape))}"
    figure = sample_grid(images.images, images.labels, images.class_names, title)
    write_atomically(path, lambda temporary: save_png(figure, temporary))
    click.echo(path)


@command.command("verify")
@_one_data_set
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def verify(name: str, options: tuple[str, ...], data_dir: str | None, as_json: bool) -> None:
    """Load all of a data set, check what can be checked, and print its SHA-256."""
    facts = {split: _facts(_load(name, split, options, data_dir)) for split in ("train", "test")}
    if as_json:
        print_json({"dataset": name, **facts})
        return
    for split, found in facts.items():
        click.echo(f"{split}: {found['n']:,} images {'x'.join(map(str, found['image_shape']))}")
        if found["classes"]:
            click.echo("  " + ", ".join(f"{k} {n:,}" for k, n in found["classes"].items()))
        if found["factors"]:
            click.echo(f"  factors {', '.join(found['factors'])}")
        click.echo(f"  SHA-256 of the arrays {found['sha256']}")
    click.echo(f"licence: {facts['train']['licence'] or 'not stated'}")


def _load(name: str, split: str, options: tuple[str, ...], data_dir: str | None) -> ImageData:
    registry = load_registry()
    from latentkit.api.request import configure

    chosen = configure(registry, dataset=name, options=parse_options(options)).dataset
    from latentkit.api.parts import dataset

    with work_of_parts():
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
        "sha256": images.digest(),
    }
