"""The stage that encodes a run's images, and its record of what encoding takes.

Times differ from run to run, so they are in a file of their own, which no other stage reads.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load

from latentkit.errors import PluginError
from latentkit.evaluation.inference import encode
from latentkit.plugin.events import StageProgress
from latentkit.runs import run_files
from latentkit.runs.context import RunContext, StageContext
from latentkit.training.checkpoint import tensor_bytes
from latentkit.training.processes import Processes, current

_STAGE = "encode"


def encode_images(context: StageContext) -> None:
    """Commit the latents of each split, and what encoding took.

    The record has ``seconds_per_image``, the median over batches, from stored images to latents;
    ``device``; and ``parameters``, how many numbers the file of the model's weights holds.

    Several processes share the images of each split.

    Raises:
        PluginError: latents are not finite.
    """
    processes = current()
    if processes is not None:
        processes.order(_STAGE)
        processes.from_leader(tensor_bytes(context.model.state_dict()))
    split = context.split
    rows = {
        "train": split.train,
        "validation": split.validation,
        "test": np.arange(len(context.images("test"))),
    }
    each: list[float] = []
    for name in run_files.SPLITS:
        latents = _latents(context, name, each, processes)
        if not np.isfinite(latents).all():
            raise PluginError(f"the model's latents of the {name} images are not all finite")
        arrays: dict[str, NDArray[Any]] = {"latents": latents, "index": rows[name]}
        labels = context.images("test" if name == "test" else "train").labels
        if labels is not None:
            arrays["labels"] = labels[rows[name]]
        context.folder.commit_arrays(run_files.latents_path(name), _STAGE, **arrays)
    record = {
        "seconds_per_image": statistics.median(each),
        "device": str(context.device),
        "parameters": sum(one.numel() for one in context.model.state_dict().values()),
    }
    context.folder.commit_json(run_files.ENCODING, _STAGE, record)


def follow_encoding(context: RunContext, processes: Processes) -> None:
    """Encode this process's part of each split, and give it to process 0."""
    model = context.random_model()
    model.load_state_dict(load(processes.from_leader()))
    for name in run_files.SPLITS:
        images = context.device_images(name)
        processes.to_leader(encode(model, images, part=processes.rank, parts=processes.count))


def _latents(
    context: StageContext, name: str, each: list[float], processes: Processes | None
) -> NDArray[np.float32]:
    """Return the latents of a split, and add the seconds an image of each batch to ``each``."""
    model, images = context.model, context.device_images(name)  # loading them is not encoding
    before = [time.perf_counter(), 0.0]

    def progress(done: int, total: int) -> None:
        now = time.perf_counter()
        each.append((now - before[0]) / (done - before[1]))
        context.emit(StageProgress(_STAGE, done, total, name))
        before[:] = time.perf_counter(), done

    if processes is None:
        return encode(model, images, progress)
    return processes.to_leader(encode(model, images, progress, parts=processes.count))
