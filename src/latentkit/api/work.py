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
from latentkit.pipeline.execute import Plan
from latentkit.pipeline.named import start_named_run
from latentkit.pipeline.plugin_files import registry_of
from latentkit.pipeline.run import Place, add_embeddings, resume_run
from latentkit.pipeline.work import plan
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs.folder import find_run
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

    Returns:
        The finished run.

    Raises:
        latentkit.errors.LatentkitError: of the kind that tells what is wrong.

    Example:
        >>> import latentkit as lk
        >>> run = lk.run(embed=["pca"], epochs=1, options={"model.latent_dim": 3})
        >>> run.latents("test").shape, run.coordinates("pca").shape
        ((360, 3), (360, 2))
        >>> run.evaluation["reconstruction"]["mse"]["value"] < 0.3  # a pixel in [0, 1]
        True
        >>> lk.run(epochs=-1)
        Traceback (most recent call last):
        latentkit.errors.UserError: ...
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

    Returns:
        The finished run.

    Raises:
        latentkit.errors.UserError: epochs or options contradict the run.

    Example:
        >>> import latentkit as lk
        >>> run = lk.resume("last", epochs=2)
        >>> [record["epoch"] for record in run.history]
        [1, 2]
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

    Returns:
        The run with its new maps; each is of coordinates (N, 2) or (N, 3).

    Raises:
        latentkit.errors.LatentkitError: unknown name, option or split, or a missing package.

    Example:
        >>> import latentkit as lk
        >>> run = lk.embed("last", ["isomap"], options={"isomap.n_neighbors": 20})
        >>> run.maps, run.coordinates("isomap").shape
        (['isomap', 'pca'], (360, 2))
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

    Raises:
        latentkit.errors.LatentkitError: the run is not there, or its data set is gone.

    Example:
        >>> import latentkit as lk
        >>> card = lk.evaluate("last").evaluation
        >>> sorted(card["reconstruction"])  # MSE a pixel in [0, 1], PSNR in dB, SSIM up to 1
        ['mse', 'psnr', 'ssim']
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

    Returns:
        The run.

    Raises:
        latentkit.errors.LatentkitError: the run is not there, or a file of it was changed.

    Example:
        >>> import latentkit as lk
        >>> run = lk.write_report("last")
        >>> (run.path / "report.html").stat().st_size > 100_000  # bytes; all pictures are in it
        True
    """
    return _done_again(path, ("report",), data, listener, partial(plan, svg=svg))


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


def _default_dataset_notice(registry: Registry) -> Notice:
    name = registry.default_name("dataset", DEFAULT_DATASET)
    summary = registry.get("dataset", name).spec.summary
    return Notice(
        "default-dataset",
        f"using dataset {DEFAULT_DATASET}: {summary}. For the reference data add "
        f"--dataset fashion-mnist",
        "info",
    )
