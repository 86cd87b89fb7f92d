"""Runs in one call: start, resume, add maps, evaluate, report, open, list, compare."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentkit.api import inputs
from latentkit.api.kinds import kind_of, kind_of_config
from latentkit.api.run_handle import Run
from latentkit.config import DEFAULT_DATASET, RunConfig
from latentkit.errors import StorageError
from latentkit.evaluation.compare_runs import compare_runs
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs import run_files
from latentkit.runs.find import readable_runs
from latentkit.runs.folder import RunFolder
from latentkit.runs.lifecycle import Place, add_embeddings, resume_run, start_named_run
from latentkit.runs.packed import SUFFIX, can_write, is_unpacked, named_run
from latentkit.runs.prepare import with_found_runs
from latentkit.runs.saved_config import registry_of
from latentkit.terminal import shell_command


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
    init_from: inputs.Path_ | None = None,
    config: inputs.Path_ | Mapping[str, Any] | None = None,
    name: str = "",
    runs: inputs.Path_ | None = None,
    out: inputs.Path_ | None = None,
    data: inputs.Path_ | None = None,
    plugins: Iterable[inputs.Path_] = (),
    listener: Listener = ignore,
) -> Run:
    """Train a model, encode the images, map the latents, measure both, and write a report.

    Args:
        model: a model's name; ``conv-ae`` unless the configuration says otherwise.
        dataset: a data set's name; ``digits`` unless the configuration says otherwise.
        corrupt: corruptions of the input, in order; the model learns to restore the clean image.
        embed: embeddings that map the test latents.
        options: values by ``"part.key"``, e.g. ``{"model.latent_dim": 3}``.
        epochs: passes over the training images; 0 skips training and uses the weights of the model
            or of ``init_from`` unchanged.
        seed: seed of everything random, 0 to 2**31 - 1.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        init_from: source of initial weights, used if their names and shapes fit: a run or a
            transfer in ``runs``, a .safetensors file, or a torch checkpoint, which is read
            weights-only.
        config: a TOML file or its content; all of the above override it.
        name: name of the run's folder; by default made of date, model and data set. If ``runs``
            has a run of this name, it is resumed; if its options differ, an error is raised.
        runs: the folder of runs, in which the run's folder is created; by default
            ``LATENTKIT_RUNS`` or ``./runs``.
        out: another name of ``runs``.
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
    folder = inputs.runs_dir(runs, out)
    registry = default_registry(plugins)
    document = inputs.read_document(config)
    resolved = inputs.configure(
        registry,
        config=document,
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
    return start(
        resolved,
        registry,
        name,
        folder,
        data,
        listener,
        default_dataset=dataset is None and "dataset" not in document,
        looks_up=inputs.runs_dir() if out is not None else None,
    )


def start(
    config: RunConfig,
    registry: Registry,
    name: str,
    runs: Path,
    data: inputs.Path_ | None,
    listener: Listener,
    *,
    default_dataset: bool = False,
    looks_up: Path | None = None,
) -> Run:
    """Start a configured run, or resume the one of that name; arguments as in `run`.

    Args:
        config: the validated configuration.
        registry: the registry that it was validated with.
        name: name of the run's folder; if empty, it is made of date, model and data set.
        runs: the folder of runs, from `runs_dir`.
        data: the folder of data sets.
        listener: called with every event.
        default_dataset: whether nobody chose the data set, which is then reported.
        looks_up: another folder of runs, where runs that the configuration names are looked up
            first; None for `runs` alone.
    """
    if looks_up is not None:
        config = with_found_runs(config, looks_up, name)
    if default_dataset:
        listener(_default_dataset_notice(registry))
    place = Place(runs=runs, data=inputs.data_dir(data), name=name)
    kind = kind_of_config(config, runs / name if name else None)
    return Run(start_named_run(config, registry, place, listener, kind), registry)


def resume(
    path: inputs.Path_,
    *,
    epochs: int | None = None,
    options: Mapping[str, Any] | None = None,
    runs: inputs.Path_ | None = None,
    data: inputs.Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Complete a run; the result is the same as that of a run that was never stopped.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        epochs: total number of epochs, if the run should have more than so far.
        options: values by ``"part.key"``; an error is raised if the run has other values.
        runs: the folder of runs, in which names are looked up; by default ``LATENTKIT_RUNS`` or
            ``./runs``.
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
    found = named_run(os.fspath(path), inputs.runs_dir(runs))
    overrides = {**({} if epochs is None else {"training.epochs": epochs}), **(options or {})}
    command = ("resume", *_option_words(overrides))
    return resumed_run(found, data, listener, command, overrides=overrides)


def embed(
    path: inputs.Path_,
    names: Iterable[str],
    *,
    on: str | int | None = None,
    align_to: str | None = None,
    stability: int | None = None,
    options: Mapping[str, Any] | None = None,
    runs: inputs.Path_ | None = None,
    data: inputs.Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Add maps to a run.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        names: embeddings to add; an existing map is computed again if its options differ.
        on: the latents to map: ``test`` (the default), ``train``, ``validation``, ``all`` of
            these, or a number of them drawn from all with the run's seed.
        align_to: align the maps to those of the same name in another run of the same folder;
            ``RUN#MAP`` selects another map of that run, ``#MAP`` a map of the same run.
        stability: how often to fit each map again, with other seeds and four fifths of the points,
            to measure how certain it is; 0 for not at all.
        options: values by ``"embedding.option"``, e.g. ``{"isomap.n_neighbors": 20}``.
        runs: see `resume`.
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
    found, names = named_run(os.fspath(path), inputs.runs_dir(runs)), tuple(names)
    known = RunFolder.open(found)
    words = [word for name in names for word in ("--embed", name)]
    words += [] if on is None else ["--on", str(on)]
    words += [] if align_to is None else ["--align-to", align_to]
    words += [] if stability is None else ["--stability", str(stability)]
    _check_writable(found, "embed", *words, *_option_words(options))
    registry = registry_of(known.manifest)
    chosen = {"on": on, "align_to": align_to, "stability": stability}
    folder = add_embeddings(
        found,
        names,
        options or {},
        registry,
        listener,
        kind_of(known),
        inputs.data_dir_of(known.manifest.data_dir, data),
        {key: value for key, value in chosen.items() if value is not None},
    )
    return Run(folder, registry)


def evaluate(
    path: inputs.Path_,
    *,
    again: bool = False,
    runs: inputs.Path_ | None = None,
    data: inputs.Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Compute a run's evaluation card if it is missing or of an older protocol.

    The card of a run in a read-only folder is taken as it is.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        again: compute the card again in any case.
        runs: see `resume`.
        data: the folder of data sets, if it has moved.
        listener: called with every event.

    Returns:
        The run; the card is its ``evaluation``.

    Raises:
        latentkit.errors.LatentkitError: the run does not exist, its data set is missing, or its
            folder is read-only and has no card.

    Example:
        >>> import latentkit as lk
        >>> card = lk.evaluate("last").evaluation
        >>> sorted(card["reconstruction"])  # MSE per pixel in [0, 1], PSNR in dB, SSIM up to 1
        ['ms_ssim', 'mse', 'psnr', 'spectrum', 'ssim']
    """
    found = named_run(os.fspath(path), inputs.runs_dir(runs))
    if not (again or can_write(found)):
        known = RunFolder.open(found)
        if run_files.EVALUATION in known.manifest.artefacts:
            return Run(known)
    command, force = (("evaluate", "--again"), ("evaluate",)) if again else (("evaluate",), ())
    return resumed_run(found, data, listener, command, force=force, retry=False)


def write_report(
    path: inputs.Path_,
    *,
    svg: bool = False,
    runs: inputs.Path_ | None = None,
    data: inputs.Path_ | None = None,
    listener: Listener = ignore,
) -> Run:
    """Draw a run's figures and write its ``report.html`` again.

    If the data set is missing, the report leaves out what needs its images, and says so.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        svg: draw each figure as SVG too.
        runs: see `resume`.
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
    found = named_run(os.fspath(path), inputs.runs_dir(runs))
    command = ("report", "--svg") if svg else ("report",)
    return resumed_run(found, data, listener, command, force=("report",), svg=svg, retry=False)


def resumed_run(
    found: Path,
    data: inputs.Path_ | None,
    listener: Listener,
    command: Sequence[str],
    **what: Any,
) -> Run:
    """Execute the stages of a run that are not current, for a ``command`` and its words.

    Raises:
        StorageError: the folder is read-only; the message repeats the command.
    """
    known = RunFolder.open(found)
    _check_writable(found, *command)
    registry = registry_of(known.manifest)
    folder = resume_run(
        found,
        registry,
        listener,
        kind_of(known),
        inputs.data_dir_of(known.manifest.data_dir, data),
        **what,
    )
    return Run(folder, registry)


def _option_words(options: Mapping[str, Any] | None) -> list[str]:
    """Return options as a command takes them."""
    texts = (
        f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in (options or {}).items()
    )
    return [word for text in texts for word in ("-o", text)]


def _check_writable(run: Path, command: str, *words: str) -> None:
    """Refuse to write into a run that this user can only read.

    Raises:
        StorageError: the run's folder is read-only; the message says how to go on.
    """
    if is_unpacked(run):
        raise StorageError(
            f"{run.name}{SUFFIX} is a packed run, which is only read: make a folder of it with "
            f"'latentkit unpack FILE', and then '{shell_command(command, run.name, *words)}'"
        )
    if not can_write(run):
        raise StorageError(
            f"{run} is read-only: copy the folder to a place of yours, and name the copy: "
            f"'{shell_command(command, 'COPY', *words)}'"
        )


def _default_dataset_notice(registry: Registry) -> Notice:
    name = registry.default_name("dataset", DEFAULT_DATASET)
    summary = registry.get("dataset", name).spec.summary
    return Notice(
        "default-dataset",
        f"using dataset {DEFAULT_DATASET}: {summary}. "
        "For larger images, add --dataset fashion-mnist",
        "info",
    )


def open_run(
    path: inputs.Path_,
    runs: inputs.Path_ | None = None,
    *,
    root: inputs.Path_ | None = None,
    plugins: Iterable[inputs.Path_] = (),
    data: inputs.Path_ | None = None,
) -> Run:
    """Open a run, which may come from a stranger: no code that came with it is executed.

    Args:
        path: the run's folder, its id in ``runs``, an unambiguous start or end of that id,
            ``last``, or a packed run (``NAME.latentkit``, from ``latentkit pack``). A packed run
            is unpacked to the user's cache and only read.
        runs: the folder of runs; by default ``LATENTKIT_RUNS`` or ``./runs``.
        root: another name of ``runs``.
        plugins: plugin files that the run may use. A file that the run names but that you never
            named is not executed; what needs it raises `latentkit.errors.PluginError`.
        data: the folder of data sets, if they have moved since the run was made.

    Returns:
        The run, finished or not; its files are read on access.

    Raises:
        latentkit.errors.UserError: there is no such run.

    Example:
        >>> import latentkit as lk
        >>> lk.open("last")
        <Run ...-conv-ae-digits-...: finished>
        >>> lk.open("first")
        Traceback (most recent call last):
        latentkit.errors.UserError: there is no run 'first'...
    """
    folder = RunFolder.open(named_run(os.fspath(path), inputs.runs_dir(runs, root)))
    named = tuple(plugins)
    if named:
        default_registry(named)  # from now on, other calls may use them, too
    return Run(folder, plugins=named, data=data)


def list_runs(runs: inputs.Path_ | None = None, *, root: inputs.Path_ | None = None) -> list[Run]:
    """Return the runs in a folder, sorted by name.

    Args:
        runs: the folder of runs; by default ``LATENTKIT_RUNS`` or ``./runs``. If it does not
            exist, the list is empty.
        root: another name of ``runs``.

    Returns:
        A list of runs, finished or not. A run that cannot be read is left out, with a warning.

    Raises:
        latentkit.errors.UserError: the folder cannot be read.

    Example:
        >>> import latentkit as lk
        >>> [run.status for run in lk.list_runs()]
        ['finished']
        >>> lk.list_runs("nowhere")
        []
    """
    found, faults = readable_runs(inputs.runs_dir(runs, root))
    for fault in faults.values():
        warnings.warn(f"left out a run that cannot be read: {fault}", UserWarning, stacklevel=2)
    return [Run(folder) for folder in found]


def compare(
    *paths: inputs.Path_, page: inputs.Path_ | None = None, runs: inputs.Path_ | None = None
) -> dict[str, Any]:
    """Compare encoders, their configurations and results, and differences from the first run.

    Runs that differ only in their seed are one encoder.

    Args:
        *paths: two or more runs: their folders, or other names of them that `open` accepts. A
            transfer belongs to the run that it started from, which must be among them.
        page: file for the comparison as an HTML page with figures; by default, none is written.
        runs: the folder of runs, in which names are looked up; by default ``LATENTKIT_RUNS`` or
            ``./runs``.

    Returns:
        ``answer``, whether the best autoencoder was worth its training, with its ``text``;
        ``encoders``, a row for each encoder and each baseline; ``runs``, ``transfers``,
        ``config``, ``figures``, ``differences``, ``maps``. Every result has its ``"value"`` and a
        95 % interval from ``"low"`` to ``"high"``. If the test images are the same, differences
        are computed image by image (``"paired"``).

    Raises:
        latentkit.errors.UserError: there are fewer than two runs, a transfer's parent is not among
            them, or one was evaluated with another protocol.

    Example:
        >>> import latentkit as lk
        >>> run = lk.open("last")
        >>> found = lk.compare(run.path, run.path)
        >>> found["differences"]["mse"][0]
        {'value': 0.0, 'standard_error': 0.0, 'low': 0.0, 'high': 0.0}
    """
    folder = inputs.runs_dir(runs)
    found = [RunFolder.open(named_run(os.fspath(path), folder)) for path in paths]
    if page is None:
        return compare_runs(found, kind_of)
    from latentkit.report.multi_run import write_comparison

    return write_comparison(found, Path(page).expanduser(), kind_of)
