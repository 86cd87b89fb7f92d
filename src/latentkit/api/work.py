"""Runs in one call: start, resume, add maps, evaluate, report."""

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
        corrupt: corruptions of the input, in order; the model learns to restore the clean image.
        embed: embeddings that map the test latents.
        options: values by ``"part.key"``, e.g. ``{"model.latent_dim": 3}``.
        epochs: passes over the training images; 0 skips training and uses the weights of
            ``init_from`` unchanged.
        seed: seed of everything random, 0 to 2**31 - 1.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        init_from: source of initial weights, used if their names and shapes fit: a run, a
            transfer, a .safetensors file, or a torch checkpoint, which is read weights-only.
        config: a TOML file or its content; all of the above override it.
        name: name of the run's folder; by default made of date, model and data set. If ``out``
            has a run of this name, it is resumed; if its options differ, an error is raised.
        out: the folder in which the run's folder is created.
        data: the folder of data sets; by default ``LATENTKIT_DATA`` or the user's cache.
        plugins: files of plugins that are not installed; the run remembers them.
        listener: called with every `latentkit.plugin.events.Event`.

    Returns:
        The finished run.

    Raises:
        latentkit.errors.LatentkitError: the run fails; the subclass gives the kind of error.

    Example:
        >>> import latentkit as lk
        >>> run = lk.run(embed=["pca"], epochs=1, options={"model.latent_dim": 3})
        >>> run.latents("test").shape, run.coordinates("pca").shape
        ((360, 3), (360, 2))
        >>> run.evaluation["reconstruction"]["mse"]["value"] < 0.3  # pixels in [0, 1]
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
    """Complete a run; the result is the same as that of a run that was never stopped.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        epochs: total number of epochs, if the run should have more than so far.
        options: values by ``"part.key"``; an error is raised if the run has other values.
        data: the folder of data sets, if it has moved.
        listener: called with every event.

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
        path: the run's folder, or any other name of it that `open` accepts.
        names: embeddings to add; an existing map is computed again if its options differ.
        on: the latents to map: ``test`` (the default), ``train``, ``validation``, ``all`` of
            these, or a number of them drawn from all with the run's seed.
        align_to: align the maps to those of the same name in another run; ``RUN#MAP`` selects
            another map of that run, ``#MAP`` a map of the same run.
        options: values by ``"embedding.option"``, e.g. ``{"isomap.n_neighbors": 20}``.
        data: the folder of data sets, if it has moved.
        listener: called with every event.

    Returns:
        The run with its new maps; each has coordinates (N, 2) or (N, 3).

    Raises:
        latentkit.errors.LatentkitError: a name, option or split is unknown, or a package is
            missing.

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
    """Compute a run's evaluation card if it is missing or of an older protocol.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        again: compute the card again in any case.
        data: the folder of data sets, if it has moved.
        listener: called with every event.

    Returns:
        The run; the card is its ``evaluation``.

    Raises:
        latentkit.errors.LatentkitError: the run does not exist, or its data set is missing.

    Example:
        >>> import latentkit as lk
        >>> card = lk.evaluate("last").evaluation
        >>> sorted(card["reconstruction"])  # MSE per pixel in [0, 1], PSNR in dB, SSIM up to 1
        ['mse', 'psnr', 'ssim']
    """
    return _done_again(path, ("evaluate",) if again else (), data, listener)


def write_report(
    path: Path_, *, svg: bool = False, data: Path_ | None = None, listener: Listener = ignore
) -> Run:
    """Draw a run's figures and write its ``report.html`` again.

    If the data set is missing, the report leaves out what needs its images, and says so.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        svg: draw each figure as SVG too.
        data: the folder of data sets, if it has moved.
        listener: called with every event.

    Returns:
        The run.

    Raises:
        latentkit.errors.LatentkitError: the run does not exist, or one of its files was changed.

    Example:
        >>> import latentkit as lk
        >>> run = lk.write_report("last")
        >>> (run.path / "report.html").stat().st_size > 100_000  # bytes, including all pictures
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
