"""Classifiers on a trained encoder, in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from latentkit.api.inputs import Path_, data_dir_of, read_document, runs_dir
from latentkit.api.kinds import TRANSFER
from latentkit.api.run_handle import Run
from latentkit.config import MODES, RunConfig, build_config
from latentkit.errors import UserError, did_you_mean
from latentkit.plugin.events import Listener, ignore
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs import run_files
from latentkit.runs.find import find_run
from latentkit.runs.folder import RunFolder
from latentkit.runs.lifecycle import Place, start_named_run
from latentkit.runs.packed import named_run
from latentkit.runs.prepare import with_found_runs
from latentkit.runs.saved_config import registry_of, stored_config

DEFAULT_MAPS = ("pca", "tsne", "isomap")
DEFAULT_SHARES = (0.01, 0.1, 1.0)
DEFAULT_TRAINING: Mapping[str, Any] = {"learning_rate": 2e-3, "keep": "last", "weight_decay": 0.05}
"""Defaults for classifiers that differ from those for autoencoders.

``keep`` is ``last``, so that labels of validation images do not choose the epoch.
"""

_FROM_PARENT = ("model", "dataset", "split", "seed")
_FROM_CLASSIFIER = ("hidden", "dropout")


def transfer(
    run: Path_ | Run | None = None,
    *,
    mode: str | None = None,
    labels: float | str | Iterable[float | str] | None = None,
    seeds: int | None = None,
    model: str | None = None,
    dataset: str | None = None,
    init_from: Path_ | None = None,
    embed: Iterable[str] | None = None,
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    config: Path_ | Mapping[str, Any] | None = None,
    name: str = "",
    runs: Path_ | None = None,
    out: Path_ | None = None,
    data: Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Train a classifier on a run's encoder; the result is a new run, a transfer.

    Args:
        run: the run whose encoder to use, or any name of it that `open` accepts. If it is a
            transfer, its classifier is trained further. None trains a new network, with mode
            ``scratch`` or `init_from`.
        mode: ``probe`` freezes the encoder, ``finetune`` (the default) trains the whole network,
            ``scratch`` trains the same network from random weights, and ``all`` compares the three
            over shares of labels and seeds.
        labels: a share of the training labels, such as 0.1 or ``"10%"``, or their number, such as
            500; several with mode ``all``. By default all labels; with mode ``all`` 1, 10 and
            100 %.
        seeds: number of seeds with mode ``all``; by default 3.
        model: a model's name, only without a `run`.
        dataset: a data set's name; by default that of the `run`.
        init_from: take the initial weights from here instead: a run, a transfer, a .safetensors
            file, or a torch checkpoint, which is read weights-only.
        embed: embeddings that map the features before and after training; by default PCA, t-SNE
            and Isomap.
        options: values by ``"part.key"``, e.g. ``{"transfer.encoder_rate": 0.1}``.
        epochs: passes over the labelled images.
        seed: seed of everything random; by default that of the `run`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        config: a TOML file or its content; all of the above override it.
        name: name of the transfer's folder; by default made of date, mode, model and data set. If
            ``runs`` has a transfer of this name, it is resumed; if its options differ, an error is
            raised.
        runs: the folder of runs, in which names are looked up and the transfer's folder is created;
            by default ``LATENTKIT_RUNS`` or ``./runs``.
        out: another name of ``runs``. If it has no such `run`, the default folder is searched, too.
        data: the folder of data sets; by default ``LATENTKIT_DATA``, the folder that the `run`
            used, or the user's cache.
        listener: called with every `latentkit.plugin.events.Event`.

    Returns:
        The transfer. ``features`` are (N, F) of the test images, before and after training;
        ``model`` returns logits (B, K); ``evaluation`` has accuracies, 0 to 1, before and after.

    Raises:
        latentkit.errors.LatentkitError: the transfer fails; the subclass gives the kind of error.

    Example:
        >>> import latentkit as lk
        >>> moved = lk.transfer("last", labels="10%", epochs=1, embed=["pca"])
        >>> moved.features("before").shape == moved.features("after").shape
        True
        >>> sorted(moved.evaluation["after"]["accuracy"])  # with its 95 % interval
        ['high', 'low', 'standard_error', 'value']
        >>> moved.maps
        ['pca']
    """
    folder = runs_dir(runs, out)
    parent = None if run is None else _folder_of(run, folder, out, name)
    registry = default_registry() if parent is None else registry_of(parent.manifest)
    resolved = configure_transfer(
        registry,
        parent,
        mode=mode,
        labels=labels,
        seeds=seeds,
        model=model,
        dataset=dataset,
        init_from=init_from,
        embed=embed,
        options=options,
        epochs=epochs,
        seed=seed,
        device=device,
        config=config,
    )
    known = data_dir_of(parent.manifest.data_dir if parent else "", data)
    if out is not None:  # as in `_folder_of`
        resolved = with_found_runs(resolved, runs_dir(), name)
    place = Place(folder, known, name)
    part = resolved.dataset
    from_parent = parent is not None and dataset is None
    with part.offline() if from_parent else nullcontext():
        return Run(start_named_run(resolved, registry, place, listener, TRANSFER), registry)


def configure_transfer(
    registry: Registry,
    parent: RunFolder | None,
    *,
    mode: str | None = None,
    labels: float | str | Iterable[float | str] | None = None,
    seeds: int | None = None,
    model: str | None = None,
    dataset: str | None = None,
    init_from: Path_ | None = None,
    embed: Iterable[str] | None = None,
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    config: Path_ | Mapping[str, Any] | None = None,
) -> RunConfig:
    """Return a transfer's configuration; arguments as in `transfer`, with `parent` for `run`.

    Raises:
        UserError: a name or option is unknown, or a value is not valid or contradicts another.
    """
    if parent is not None and model is not None:
        raise UserError(f"run {parent.manifest.id} already has a model: leave --model out")
    document = _document(registry, parent, read_document(config))
    _ask(document["transfer"], mode, labels, seeds)
    document |= _init(parent, init_from, document)
    if embed is not None:
        document.pop("embedding", None)
    elif "embedding" not in document:
        embed = DEFAULT_MAPS
    given = {"training.epochs": epochs, "seed": seed, "device": device}
    overrides = {key: value for key, value in given.items() if value is not None}
    return build_config(
        document,
        registry,
        model=model,
        dataset=dataset,
        embeddings=embed or (),
        overrides={**overrides, **(options or {})},
    )


def _document(
    registry: Registry, parent: RunFolder | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge the given tables over the parent's configuration and the defaults."""
    document: dict[str, Any] = {"training": dict(DEFAULT_TRAINING), "transfer": {}}
    if parent is not None:
        stored = stored_config(parent, registry)
        document |= {k: v for k, v in stored.as_dict().items() if k in _FROM_PARENT}
        document["transfer"]["parent"] = parent.manifest.id
        if stored.transfer is not None:
            head = stored.transfer.model_dump(mode="json")
            document["transfer"] |= {key: head[key] for key in _FROM_CLASSIFIER}
    for key, value in given.items():
        over = key in ("training", "transfer") and isinstance(value, Mapping)
        document[key] = {**document[key], **value} if over else value
    return document


def _ask(
    asked: dict[str, Any],
    mode: str | None,
    labels: float | str | Iterable[float | str] | None,
    seeds: int | None,
) -> None:
    """Add the caller's choices to the ``transfer`` table."""
    mode = mode or asked.get("mode", "finetune")
    if mode not in MODES:
        listed = ", ".join(MODES)
        near = did_you_mean(mode, MODES)
        raise UserError(f"there is no mode {mode!r}{near}; known modes: {listed}")
    asked["mode"] = mode
    if labels is not None:
        asked["labels"] = [labels] if isinstance(labels, str | float | int) else list(labels)
    elif mode == "all":
        asked.setdefault("labels", list(DEFAULT_SHARES))
    if seeds is not None:
        asked["seeds"] = seeds


def _init(
    parent: RunFolder | None, init_from: Path_ | None, document: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the ``init`` table that names the initial weights, or no table."""
    if init_from is not None:
        return {"init": {"path": os.fspath(init_from)}}
    scratch = document["transfer"]["mode"] == "scratch"
    if parent is None or scratch or "init" in document:
        return {}
    return {"init": {"path": str(parent.verified(run_files.MODEL))}}


def _folder_of(run: Path_ | Run, runs: Path, out: Path_ | None, own: str) -> RunFolder:
    """Open the parent; ``last`` does not mean the transfer itself, whose name is ``own``.

    ``out`` alone says where the transfer goes, so the parent is looked up in the default folder
    first.
    """
    if isinstance(run, Run):
        return RunFolder.open(run.path)
    reference = os.fspath(run)
    find = partial(find_run, other_than=own)
    if out is not None:
        with suppress(UserError):
            return RunFolder.open(named_run(reference, runs_dir(), find))
    return RunFolder.open(named_run(reference, runs, find))
