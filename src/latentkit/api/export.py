"""Export of a run's networks to other runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

from latentkit.api.request import Path_
from latentkit.api.runs import open_run
from latentkit.errors import UserError
from latentkit.pipeline.context import DATA
from latentkit.pipeline.onnx_export import OPSET, ExportedFile, export_onnx
from latentkit.runs.folder import RunFolder

Format = Literal["onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(
    path: Path_,
    format: Format = "onnx",  # noqa: A002
    *,
    out: Path_ | None = None,
    opset: int = OPSET,
) -> list[ExportedFile]:
    """Write a run's encoder and decoder for another runtime, and compare them with the model.

    Args:
        path: the run's folder, or any other name of it that `open` accepts.
        format: ``onnx``.
        out: folder for the files; by default ``<run>-onnx`` next to the run's folder.
        opset: version of ONNX's operator set.

    Returns:
        The files, each with its largest absolute difference from the model.

    Raises:
        latentkit.errors.BrokenEnvironmentError: a package is missing; the message says how to
            install it.
        latentkit.errors.PluginError: the model cannot be exported.
        latentkit.errors.UserError: the run is a transfer, or there is no such format.

    Example:
        >>> import latentkit as lk
        >>> encoder, decoder = lk.export("last", out="networks")
        >>> encoder.path.name, encoder.difference is None or encoder.difference < 1e-3
        ('encoder.onnx', True)
    """
    if format not in FORMATS:
        raise UserError(f"there is no format {format!r}; known formats: {', '.join(FORMATS)}")
    run = open_run(path)
    manifest = RunFolder.open(run.path).manifest
    if "transfer" in manifest.config:
        raise UserError(f"run {run.id} is a transfer, which has no decoder: export its parent run")
    channels, height, width = RunFolder.open(run.path).json(DATA)["image_shape"]
    model, shape = run.model, (channels, height, width)
    facts = {
        "latentkit.run": run.id,
        "latentkit.config_sha256": manifest.config_sha256,
        "latentkit.model": run.config.model.name,
        "latentkit.image_shape": json.dumps(shape),
        "latentkit.latent_dim": str(model.latent_dim),
        "latentkit.normalisation": "images are float32 in [0, 1]: bytes divided by 255",
    }
    folder = run.path.with_name(f"{run.id}-onnx") if out is None else Path(out)
    return export_onnx(model, run.config.model.name, shape, folder, facts, opset)
