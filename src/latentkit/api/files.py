"""Files to share, each written in one call: multi-run reports, and networks as ONNX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from latentkit.api.commands import open_run
from latentkit.api.inputs import Path_, read_document, runs_dir
from latentkit.api.kinds import kind_of
from latentkit.api.run_handle import Run
from latentkit.errors import UserError
from latentkit.export.onnx_export import OPSET, ExportedFile, export_onnx
from latentkit.report.multi_run import read_multi_run_report, write_multi_run_report
from latentkit.runs.context import stored_image_shape
from latentkit.runs.folder import RunFolder
from latentkit.runs.packed import SUFFIX, is_unpacked, pack_run, unpack_run

_PAGE = "page"


def write_page(
    story: Path_ | Mapping[str, Any], *, root: Path_ = ".", out: Path_ | None = None
) -> Path:
    """Write a multi-run report on runs, transfers and studies as one HTML page.

    The page contains its pictures. It loads no other files and runs no scripts.

    Args:
        story: a TOML file, or its content: ``title``, ``subtitle`` and a list ``chapter`` of
            tables with ``title``, ``text``, ``commands``, ``figures``, ``tables``, ``compare``,
            ``header`` and ``rows`` of an extra table, and ``pictures`` and ``links`` of files
            beside the page.
        root: the folder that contains the sources.
        out: path of the page; by default the TOML file's name with ``.html``, in ``root``.

    Returns:
        The path of the page.

    Raises:
        latentkit.errors.UserError: the report file has an error, or a source does not exist.

    Example:
        >>> import latentkit as lk
        >>> story = {"title": "Digits", "chapter": [{"title": "Data", "text": "1,797 of them."}]}
        >>> lk.write_page(story).name
        'page.html'
    """
    document = read_document(story)
    name = _PAGE if isinstance(story, Mapping) else Path(story).stem
    path = Path(root).expanduser() / f"{name}.html" if out is None else Path(out).expanduser()
    write_multi_run_report(read_multi_run_report(document), Path(root).expanduser(), path, kind_of)
    return path


Format = Literal["onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(
    path: Path_,
    format: Format = "onnx",  # noqa: A002
    *,
    out: Path_ | None = None,
    opset: int = OPSET,
    runs: Path_ | None = None,
) -> list[ExportedFile]:
    """Write a run's encoder and decoder for another runtime, and compare them with the model.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        format: ``onnx``.
        out: folder for the files; by default ``<run>-onnx`` next to the run's folder.
        opset: version of ONNX's operator set.
        runs: the folder of runs, in which names are looked up; by default ``LATENTKIT_RUNS`` or
            ``./runs``.

    Returns:
        The files, each with its largest absolute difference from the model. A model without a
        decoder has only the encoder's.

    Raises:
        latentkit.errors.BrokenEnvironmentError: a package is missing; the message says how to
            install it.
        latentkit.errors.PluginError: the model cannot be exported.
        latentkit.errors.UserError: the run is a transfer, there is no such format, or the default
            folder is a link.

    Example:
        >>> import latentkit as lk
        >>> encoder, decoder = lk.export("last", out="networks")
        >>> encoder.path.name, encoder.difference is None or encoder.difference < 1e-3
        ('encoder.onnx', True)
    """
    if format not in FORMATS:
        raise UserError(f"there is no format {format!r}; known formats: {', '.join(FORMATS)}")
    run = open_run(path, runs)
    manifest = RunFolder.open(run.path).manifest
    if "transfer" in manifest.config:
        raise UserError(f"run {run.id} is a transfer, which has no decoder: export its parent run")
    model, shape = run.model, stored_image_shape(RunFolder.open(run.path))
    facts = {
        "latentkit.run": run.id,
        "latentkit.config_sha256": manifest.config_sha256,
        "latentkit.model": run.config.model.name,
        "latentkit.image_shape": json.dumps(shape),
        "latentkit.latent_dim": str(model.latent_dim),
        "latentkit.normalisation": "images are float32 in [0, 1]: bytes divided by 255",
    }
    folder = _beside(run.path) if out is None else Path(out).expanduser()
    return export_onnx(model, run.config.model.name, shape, folder, facts, opset)


def pack(
    path: Path_, *, out: Path_ | None = None, pictures: bool = False, runs: Path_ | None = None
) -> Path:
    """Write a run as one file, ``NAME.latentkit``, which `open` and every command read elsewhere.

    The file has the weights, the configuration, the evaluation card, latents and maps, and the
    versions of plugins; the same run gives the same bytes. It has no images. With the decoder,
    latents still show much of the images that they were made from.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        out: the file, whose name ends in ``.latentkit``, or an existing folder for it; by default
            the run's name in the working folder.
        pictures: whether to keep figures, report and explorer, which show images of the data set.
        runs: the folder of runs, in which names are looked up; by default ``LATENTKIT_RUNS`` or
            ``./runs``.

    Returns:
        The path of the file.

    Raises:
        latentkit.errors.UserError: the run has no trained model yet, or ``out`` has another ending.
        latentkit.errors.IntegrityError: a file of the run is missing, or was changed.
        latentkit.errors.StorageError: the file cannot be written.

    Example:
        >>> import latentkit as lk
        >>> packed = lk.pack("last", out="model.latentkit")
        >>> lk.open(packed).latents("test").shape
        (360, 3)
    """
    run = open_run(path, runs)
    target = Path() if out is None else Path(out).expanduser()
    if target.is_dir():
        target /= f"{run.id}{SUFFIX}"
    if target.suffix != SUFFIX:
        raise UserError(f"{target} should end in {SUFFIX}, so that commands know a packed run")
    config = run.config
    parts = (config.model, config.dataset, *config.corruptions, *config.embeddings)
    needed = {part.part.plugin.distribution for part in parts}
    folder = RunFolder.open(run.path)
    pack_run(folder, target, pictures=pictures, plugins={"latentkit", *needed})
    return target


def unpack(path: Path_, *, runs: Path_ | None = None) -> Run:
    """Make a folder of a packed run, to change or resume it; `open` needs no such folder.

    Args:
        path: the packed run, a file that `pack` wrote.
        runs: the folder of runs in which to make the run's folder; by default ``LATENTKIT_RUNS``
            or ``./runs``.

    Returns:
        The run.

    Raises:
        latentkit.errors.DataError: the file is not a packed run, or cannot be read.
        latentkit.errors.IntegrityError: the file was changed.
        latentkit.errors.UserError: there is a run of this name already.

    Example:
        >>> import latentkit as lk
        >>> run = lk.unpack(lk.pack("last"), runs="copies")
        >>> run.path.parent.name
        'copies'
    """
    return Run(RunFolder.open(unpack_run(Path(path).expanduser(), runs_dir(runs))))


def _beside(run: Path) -> Path:
    """Return the folder next to a run for its exported files; the working folder if it is packed.

    Raises:
        UserError: it is a link, which the maker of an archive may have put there.
    """
    name = f"{run.name}-onnx"
    folder = Path(name) if is_unpacked(run) else run.with_name(name)
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to another folder: remove it, or name one with --out")
    return folder
