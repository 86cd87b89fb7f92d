"""Export of a run's encoder and decoder to ONNX, checked against the model before it is saved."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor, nn

from latentkit.atomic import write_atomically
from latentkit.errors import BrokenEnvironmentError, LatentkitError, PluginError, UserError
from latentkit.plugin.protocols import HasDecoder, ImageShape, provides

OPSET = 18
INSTALL = "pip install 'latentkit[onnx]'"
TOLERANCE = 1e-3
"""Largest accepted difference from the model's output, as a share of its largest value."""

_BATCHES = (1, 2, 7)
# Before 2.9, the exporter based on torch.export was experimental; since then, the older one is
# deprecated.
_DYNAMO = Version(torch.__version__).release >= (2, 9)
_DEFAULT_WORKS = f"leave it out, which means {OPSET}"
_NEEDS = ("onnx", "onnxscript") if _DYNAMO else ("onnx",)


@dataclass(frozen=True)
class ExportedFile:
    """One ONNX file.

    Args:
        path: path of the file.
        difference: largest absolute difference from the model's output, over batches of 1, 2 and
            7; None if onnxruntime is not installed.
    """

    path: Path
    difference: float | None


def check_onnx_is_there() -> None:
    """Check that the packages that write ONNX are installed.

    Raises:
        BrokenEnvironmentError: a package is missing; the message gives the command to install it.
    """
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise BrokenEnvironmentError(f"ONNX needs {', '.join(missing)}: run  {INSTALL}")


def _check_opset(opset: int) -> None:
    """Refuse an operator set that the installed onnx does not know.

    Raises:
        UserError: the version is out of range.
    """
    import onnx

    most = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= most:
        raise UserError(
            f"opset {opset}: the installed onnx knows versions 1 to {most}: {_DEFAULT_WORKS}"
        )


def export_onnx(
    model: Any,
    name: str,
    image_shape: ImageShape,
    folder: Path,
    facts: Mapping[str, str],
    opset: int = OPSET,
) -> list[ExportedFile]:
    """Write ``encoder.onnx`` and ``decoder.onnx``, or neither if one cannot be exported.

    A model without a decoder has only ``encoder.onnx``.

    The encoder maps ``images`` (B, C, H, W), float32 in [0, 1], to ``latents`` (B, latent_dim).
    The decoder maps back. B is a dynamic dimension.

    Args:
        model: an `Encoder` on the CPU, with or without ``decode``.
        name: name of the model, for errors.
        image_shape: C, H, W.
        folder: where the files are written.
        facts: metadata for both files.
        opset: version of the ONNX operator set.

    Raises:
        BrokenEnvironmentError: a package is missing.
        UserError: the installed packages cannot export the model to this ``opset``.
        PluginError: the model cannot be exported, or the exported model gives other values.
        StorageError: the folder cannot be written.
    """
    check_onnx_is_there()
    _check_opset(opset)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(n, *image_shape, generator=generator) for n in _BATCHES]
    model.eval()
    with torch.no_grad():
        latents = [model.encode(batch) for batch in images]
    work = [("encoder", _Part(model, "encode"), images, ("images", "latents"))]
    if provides(model, HasDecoder):
        work.append(("decoder", _Part(model, "decode"), latents, ("latents", "images")))
    contents = {}
    for part, module, batches, (source, result) in work:
        try:
            with _nothing_printed():
                content = _written(module.eval(), batches[1], source, result, facts, opset)
                difference = _difference(content, module, batches)
        except LatentkitError:
            raise
        # Any failure of the exporter is caused by the model, whose code may also call sys.exit.
        except (Exception, SystemExit) as error:
            reason = (str(error).strip().splitlines() or [""])[0][:300]
            if opset != OPSET:  # a few operators cannot be converted to most versions
                raise UserError(
                    f"the {part} of model {name!r} cannot be exported to ONNX with opset {opset}: "
                    f"{_DEFAULT_WORKS} ({type(error).__name__}: {reason})"
                ) from error
            raise PluginError(
                f"the {part} of model {name!r} cannot be exported to ONNX: "
                f"{type(error).__name__}: {reason}"
            ) from error
        if difference is not None and difference[0] > TOLERANCE * difference[1]:
            raise PluginError(
                f"the {part} of model {name!r} gives other values as ONNX (off by up to "
                f"{difference[0]:.2g}), so nothing is written: remove branches that depend on "
                f"the input's values"
            )
        contents[part] = content, None if difference is None else difference[0]
    files = []
    for part, (content, off) in contents.items():
        path = folder / f"{part}.onnx"
        write_atomically(path, partial(_write, content=content))
        files.append(ExportedFile(path, off))
    return files


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Drop what the exporter prints: tracebacks of attempts, while the error says what failed."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


class _Part(nn.Module):
    """Module whose forward pass is one method of a model."""

    def __init__(self, model: Any, method: str) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(self, values: Tensor) -> Tensor:
        """Apply the model's ``encode`` or ``decode``."""
        found: Tensor = getattr(self.model, self.method)(values)
        return found


def _write(path: Path, *, content: bytes) -> None:
    path.write_bytes(content)


def _written(
    module: nn.Module,
    example: Tensor,
    source: str,
    result: str,
    facts: Mapping[str, str],
    opset: int,
) -> bytes:
    """Export a module to ONNX, and return the file's content."""
    import onnx

    names: dict[str, Any] = {"input_names": [source], "output_names": [result]}
    with warnings.catch_warnings(), torch.no_grad():
        # The warnings are about the exporter itself; the result is compared with the model below.
        warnings.simplefilter("ignore")
        # Nothing is written here, because an error of a disk is not one of the model.
        if _DYNAMO:
            shapes = ({0: torch.export.Dim("batch")},)
            how = {"dynamo": True, "verbose": False, "dynamic_shapes": shapes, **names}
            program: Any = torch.onnx.export(module, (example,), opset_version=opset, **how)
            document = program.model_proto
        else:
            axes = {name: {0: "batch"} for name in (source, result)}
            how = {"dynamic_axes": axes, **names}
            buffer: Any = io.BytesIO()  # the stub knows paths only
            torch.onnx.export(module, (example,), buffer, opset_version=opset, **how)
            document = onnx.load_from_string(buffer.getvalue())
    for key, value in facts.items():
        entry = document.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(document)
    found = next(one.version for one in document.opset_import if one.domain in ("", "ai.onnx"))
    if found != opset:  # after a failed conversion, torch returns what it had
        raise ValueError(f"the exporter gave opset {found}")
    content: bytes = document.SerializeToString()
    return content


def _difference(
    content: bytes, module: nn.Module, batches: list[Tensor]
) -> tuple[float, float] | None:
    """Return the largest difference from the module and its largest value, at least 1.

    Without onnxruntime, return None.
    """
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    greatest, off = 1.0, 0.0
    for batch in batches:
        with torch.no_grad():
            expected = module(batch)
        found = torch.from_numpy(session.run(None, {name: batch.numpy()})[0])
        if found.shape != expected.shape:
            return float("inf"), 1.0
        greatest = max(greatest, float(expected.abs().max()))
        off = max(off, float((found - expected).abs().max()))
    return off, greatest
