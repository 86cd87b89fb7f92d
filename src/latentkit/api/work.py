"""Runs in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from latentkit.api.handle import Run
from latentkit.api.places import RUNS, data_dir, given_data_dir
from latentkit.api.request import Path_, configure, read_document
from latentkit.config import DEFAULT_DATASET
from latentkit.pipeline.compare import compare_runs
from latentkit.pipeline.execute import Plan
from latentkit.pipeline.named import start_named_run
from latentkit.pipeline.plugin_files import registry_of
from latentkit.pipeline.run import Place, add_embeddings, resume_run
from latentkit.pipeline.work import plan
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs.folder import RunFolder, find_run, run_folders
from latentkit.runs.manifest import read_manifest


def run(
    *,
    model: str | None = None,
    dataset: str | None = None,
    corrupt: Iterable[str] = (),
    embed: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    init_from: Path_ | None = None,
    config: Path_ | Mapping[str, Any] | None = None,
    name: str = "",
    out: Path_ = RUNS,
    data: Path_ | None = None,
    plugins: Iterable[Path_] = (),
    listener: Listener = ignore,
) -> Run:
    """Train a model, encode the images, map the latents, measure both, and write a report.

    Args:
        model: a model's name; ``conv-ae`` unless the configuration says otherwise.
        dataset: a data set's name; ``digits`` unless the configuration says otherwise.
        corrupt: corruptions of the input, in order; the model learns to give the clean image.
        embed: embeddings that map the test latents.
        options: ``"part.key"`` to a value, e.g. ``{"model.latent_dim": 3}``.
        epochs: passes over the training images; 0 trains nothing, and takes the weights of
            ``init_from`` as they are.
        seed: everything random follows from it; 0 to 2**31 - 1.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        init_from: start from these weights where their names and shapes fit: a run, a transfer, a
            .safetensors file or a checkpoint of torch, which is read weights-only.
        config: a TOML file or its content, under all of the above.
        name: of the run's folder; date, model and data set unless given. A run of that name in
            ``out`` is gone on with, and is refused where its options are others.
        out: the folder in which the run's own folder is made.
        data: the folder of data sets; ``LATENTKIT_DATA`` or the user's cache where None.
        plugins: files of plugins that are not installed; the run knows them from then on.
        listener: is called with every `latentkit.plugin.events.Event`.

    Raises:
        latentkit.errors.LatentkitError: of the kind that tells what is wrong.
    """
    registry = default_registry(plugins)
    resolved = configure(
        registry,
        config=config,
        model=model,
        dataset=dataset,
        corrupt=corrupt,
        embed=embed,
        options=options,
        epochs=epochs,
        seed=seed,
        device=device,
        init_from=init_from,
    )
    if dataset is None and "dataset" not in read_document(config):
        listener(_default_dataset_notice(registry))
    place = Place(runs=Path(out), data=data_dir(data), name=name)
    return Run(start_named_run(resolved, registry, place, listener), registry)


def resume(
    path: Path_,
    *,
    epochs: int | None = None,
    options: Mapping[str, Any] | None = None,
    data: Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Do what is missing of a run; the result is that of a run that was never stopped.

    Args:
        path: the run's folder, or what else `open` takes.
        epochs: train for so many in all, where that is more than the run has.
        options: ``"part.key"`` to a value; refused where the run has another one.
        data: where the data sets are, if they have moved.
        listener: is called with every event.

    Raises:
        latentkit.errors.UserError: epochs or options contradict the run.
    """
    found = find_run(os.fspath(path), RUNS)
    registry = registry_of(read_manifest(found))
    overrides = {**({} if epochs is None else {"training.epochs": epochs}), **(options or {})}
    folder = resume_run(
        found,
        registry,
        listener,
        given_data_dir(data),
        overrides=overrides,
    )
    return Run(folder, registry)


def embed(
    path: Path_,
    names: Iterable[str],
    *,
    on: str | int | None = None,
    align_to: str | None = None,
    options: Mapping[str, Any] | None = None,
    data: Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Add maps to a run.

    Args:
        path: the run's folder, or what else `open` takes.
        names: embeddings to add; one that is there is made anew if its options differ.
        on: map the latents of ``test``, ``train``, ``validation``, ``all`` of these, or so many
            of all, drawn by the run's seed; ``test`` where None.
        align_to: another run, whose map of the same name this one is laid over;
            ``RUN#MAP`` for another map of it, ``#MAP`` for one of the same run.
        options: ``"embedding.option"`` to a value, e.g. ``{"isomap.n_neighbors": 20}``.
        data: where the data sets are, if they have moved.
        listener: is called with every event.
    """
    found = find_run(os.fspath(path), RUNS)
    registry = registry_of(read_manifest(found))
    folder = add_embeddings(
        found,
        names,
        options or {},
        registry,
        listener,
        given_data_dir(data),
        {
            key: value
            for key, value in {"on": on, "align_to": align_to}.items()
            if value is not None
        },
    )
    return Run(folder, registry)


def evaluate(
    path: Path_, *, again: bool = False, data: Path_ | None = None, listener: Listener = ignore
) -> Run:
    """Make a run's evaluation card where it is missing, or was made by an older protocol.

    Args:
        path: the run's folder, or what else `open` takes.
        again: make it anew in any case.
        data: where the data sets are, if they have moved.
        listener: is called with every event.

    Returns:
        The run; the card is its ``evaluation``.
    """
    return _done_again(path, ("evaluate",) if again else (), data, listener)


def write_report(
    path: Path_, *, svg: bool = False, data: Path_ | None = None, listener: Listener = ignore
) -> Run:
    """Draw a run's figures and write its ``report.html`` anew.

    What needs images of a data set that is gone is left out, and named in the report.

    Args:
        path: the run's folder, or what else `open` takes.
        svg: draw each figure as SVG too.
        data: where the data sets are, if they have moved.
        listener: is called with every event.
    """
    return _done_again(path, ("report",), data, listener, partial(plan, svg=svg))


def compare(*paths: Path_) -> dict[str, Any]:
    """Put runs side by side: configurations, figures, and differences from the first one.

    Args:
        *paths: two or more runs: their folders, or what else `open` takes.

    Returns:
        ``runs``, ``config``, ``figures``, ``differences``, ``maps``; every figure with its 95 %
        interval, ``"value"``, ``"low"`` and ``"high"``; differences image by image where the
        test images are the same (``"paired"``).

    Raises:
        latentkit.errors.UserError: there are fewer than two, or one was evaluated otherwise.
    """
    return compare_runs([RunFolder.open(find_run(os.fspath(path), RUNS)) for path in paths])


def _done_again(
    path: Path_,
    afresh: tuple[str, ...],
    data: Path_ | None,
    listener: Listener,
    stages: Plan = plan,
) -> Run:
    found = find_run(os.fspath(path), RUNS)
    registry = registry_of(read_manifest(found))
    folder = resume_run(found, registry, listener, given_data_dir(data), stages, afresh=afresh)
    return Run(folder, registry)


def open_run(path: Path_, root: Path_ = RUNS) -> Run:
    """Open a run.

    Args:
        path: its folder; or its id in ``root``, an unambiguous start or end of that; or ``last``.
        root: the folder of runs.

    Raises:
        latentkit.errors.UserError: there is no such run.
    """
    return Run(RunFolder.open(find_run(os.fspath(path), Path(root))))


def list_runs(root: Path_ = RUNS) -> list[Run]:
    """Return the runs in a folder, by name."""
    return [Run(RunFolder.open(path)) for path in run_folders(Path(root))]


def _default_dataset_notice(registry: Registry) -> Notice:
    name = registry.default_name("dataset", DEFAULT_DATASET)
    summary = registry.get("dataset", name).spec.summary
    return Notice(
        "default-dataset",
        f"using dataset {DEFAULT_DATASET}: {summary}. For the reference data add  "
        f"--dataset fashion-mnist",
        "info",
    )
