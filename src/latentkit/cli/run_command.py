"""``latentkit run``, ``resume`` and ``embed``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import launch, shared_options
from latentkit.cli.display import progress_display
from latentkit.cli.outcome import data_option, run_options, show_maps, show_outcome, working_on_run
from latentkit.errors import UserError

if TYPE_CHECKING:
    from latentkit.config import RunConfig
    from latentkit.maps.vector_maps import VectorMaps
    from latentkit.plugin.events import Listener
    from latentkit.registry.catalogue import Registry


@click.command("run")
@shared_options.part_option("--model", "model", "Model.  [default: conv-ae]")
@shared_options.part_option("--dataset", "dataset", "Data set.  [default: digits]")
@shared_options.part_option(
    "--corrupt",
    "corruption",
    "Corrupt the input, and learn to restore the clean image; repeatable, applied in order.",
    several=True,
)
@shared_options.part_option(
    "--embed", "embedding", "Map the test latents; repeatable.", several=True
)
@shared_options.settings_option(
    "Set an option, e.g. -o model.latent_dim=3; 'latentkit plugins show NAME' lists them."
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    callback=shared_options.check_not_negative,
    help="Passes over the training images; 0 trains nothing, and uses the weights of the model or "
    "of --init-from. Short for -o training.epochs=N.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.  [default: 0]")
@click.option(
    "--init-from",
    metavar="PATH",
    help="Start from saved weights: a run, a .safetensors file, or a torch checkpoint.",
)
@shared_options.device_and_config_options
@click.option(
    "--name",
    metavar="NAME",
    default="",
    help="Name of the run's folder. If it already exists, the run is resumed.  "
    "[default: made from the date]",
)
@shared_options.out_option
@data_option
@click.option("--print-config", is_flag=True, help="Print the resulting configuration, and stop.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Try all stages out without training, say what memory, disk and time the run needs, and "
    "stop.",
)
@launch.processes_options
@run_options
@shared_options.common_options
def run_command(
    model: str | None,
    dataset: str | None,
    corrupt: tuple[str, ...],
    embed: tuple[str, ...],
    options: tuple[str, ...],
    epochs: int | None,
    seed: int | None,
    device: str | None,
    init_from: str | None,
    config: str | None,
    name: str,
    runs_dir: str | None,
    out: str | None,
    data_dir: str | None,
    print_config: bool,
    dry_run: bool,
    processes: int | None,
    timeout: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a model on images, map its latents, measure both, and write a report.

    \b
    latentkit run --model conv-ae --embed isomap
    latentkit run --dataset fashion-mnist --embed pca --embed isomap -o model.latent_dim=3
    latentkit run --corrupt gaussian-noise -o gaussian-noise.std=0.4
    latentkit run --config runs/.../config.toml --seed 1
    """  # noqa: D301  # Click takes a real backspace
    if launch.has_followed(timeout, data_dir):
        return
    registry = shared_options.load_registry()
    from latentkit.api.inputs import configure, read_document
    from latentkit.api.inputs import runs_dir as find_runs_dir

    folder = find_runs_dir(runs_dir, out)
    document = read_document(config)  # once, because it may be a pipe
    parts = dict[str, Any](model=model, dataset=dataset, corrupt=corrupt, embed=embed)
    more = dict[str, Any](epochs=epochs, seed=seed, device=device, init_from=init_from)
    resolved = configure(  # report errors before the slow import of torch
        registry,
        config=document,
        options=shared_options.parse_options(options),
        **parts,
        **more,
    )
    if print_config:
        shared_options.print_toml(resolved.to_toml())
        return
    if dry_run:
        _show_dry_run(resolved, registry, folder, data_dir, processes, as_json, quiet)
        return
    launch.begin_command(processes, resolved.run.device)
    from latentkit.api import commands

    with launch.leading(timeout) as group, working_on_run(quiet) as listener:
        run = commands.start(
            resolved,
            registry,
            launch.run_name(group, name),
            folder,
            data_dir,
            launch.remembering(group, listener),
            default_dataset=dataset is None and "dataset" not in document,
            looks_up=find_runs_dir() if out is not None else None,
        )
    show_outcome(run, as_json=as_json, quiet=quiet)


def _show_dry_run(
    config: RunConfig,
    registry: Registry,
    runs: Path,
    data_dir: str | None,
    processes: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print what a run would need; progress goes to stderr."""
    import psutil

    from latentkit.api.inputs import data_dir as find_data_dir
    from latentkit.api.kinds import kind_of_config
    from latentkit.runs.dry_run import dry_run

    counts = launch.planned_counts(processes, config.run.device)
    kind = kind_of_config(config)
    with shared_options.work_of_parts(), progress_display(quiet) as listener:
        place = find_data_dir(data_dir)
        began = psutil.Process().create_time()
        found = dry_run(config, registry, place, runs, listener, kind, counts, began)
    if as_json:
        shared_options.print_json(found.document())
    else:
        shared_options.print_facts(found.rows())


@click.command("resume")
@click.argument("run")
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    callback=shared_options.check_positive,
    help="Train for N epochs in total, more than the run has so far.",
)
@shared_options.settings_option("Check that the run has this option; it cannot be changed.")
@shared_options.runs_option
@data_option
@launch.processes_options
@run_options
@shared_options.common_options
def resume_command(
    run: str,
    epochs: int | None,
    options: tuple[str, ...],
    runs_dir: str | None,
    data_dir: str | None,
    processes: int | None,
    timeout: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Complete RUN without repeating finished stages.

    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'. The result is, byte for byte, that of an uninterrupted run on the same
    number of processes.
    """
    if launch.has_followed(timeout, data_dir):
        return
    launch.begin_command(processes, None)
    shared_options.load_registry()
    from latentkit.api import commands

    with launch.leading(timeout), working_on_run(quiet) as listener:
        finished = commands.resume(
            run,
            epochs=epochs,
            options=shared_options.parse_options(options),
            runs=runs_dir,
            data=data_dir,
            listener=listener,
        )
    show_outcome(finished, as_json=as_json, quiet=quiet)


_SUFFIXES = (".npy", ".npz")


@click.command("embed")
@click.argument("source", required=False)
@click.option(
    "--embed",
    metavar="NAME",
    multiple=True,
    required=True,
    shell_complete=shared_options.part_completion("embedding"),
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
@click.option(
    "--stability",
    type=int,
    metavar="N",
    help="Fit each map N times again, to measure how certain it is.",
)
@shared_options.part_option(
    "--dataset", "dataset", "Map the raw pixels of a data set instead of a SOURCE."
)
@click.option("--labels", metavar="FILE", help="Labels of a file's vectors: .npy or .npz.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed for maps of vectors and pixels.",
)
@click.option(
    "--out",
    metavar="DIR",
    default="maps",
    help="Folder for maps of vectors and pixels.  [default: maps]",
)
@shared_options.settings_option("Set an option of an embedding, e.g. -o isomap.n_neighbors=20.")
@shared_options.runs_option
@data_option
@run_options
@shared_options.common_options
def embed_command(
    source: str | None,
    embed: tuple[str, ...],
    on: str | None,
    align_to: str | None,
    stability: int | None,
    dataset: str | None,
    labels: str | None,
    seed: int,
    out: str,
    options: tuple[str, ...],
    runs_dir: str | None,
    data_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Map a run's latents, the vectors of a file, or the pixels of a data set.

    SOURCE is a run: its folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'. The maps are added to the run, and its report is written again. SOURCE may also
    be a .npy or .npz file of vectors (N, D). Maps of such a file or of --dataset get their own
    folder. --stability 8 also says how far points move and which islands are only on the map.
    """
    if (source is None) == (dataset is None):
        raise UserError("say what to map: a run, a .npy or .npz file, or --dataset NAME")
    shared_options.load_registry()
    chosen = shared_options.parse_options(options)
    if dataset is None and source is not None and not _is_file(source):
        from latentkit.api import commands

        with working_on_run(quiet) as listener:
            finished = commands.embed(
                source,
                embed,
                on=_number_or_name(on),
                align_to=align_to,
                stability=stability,
                options=chosen,
                runs=runs_dir,
                data=data_dir,
                listener=listener,
            )
        show_outcome(finished, as_json=as_json, quiet=quiet)
        return
    if align_to:
        raise UserError("--align-to works only for maps of runs: leave it out")
    chosen |= {f"{name}.stability": stability for name in embed if stability is not None}
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
    from latentkit.api.any_vectors import embed_vectors

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
    from latentkit.api.any_vectors import embed_vectors
    from latentkit.api.building_blocks import images_of

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
