"""Fit of one embedding: the memory it may take, its estimate, progress and result."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import PluginError, ResourceError, UserError
from latentkit.plugin import protocols
from latentkit.plugin.events import Listener, Notice, StageProgress, ignore
from latentkit.plugin.machine import available_memory_bytes
from latentkit.registry.options import fault_of

_SECONDS_BETWEEN_EVENTS = 0.1


def fit_embedding(
    estimator: Any,
    name: str,
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer[Any]] | None = None,
    *,
    stage: str = "",
    emit: Listener = ignore,
) -> tuple[NDArray[np.float64], Mapping[str, Any]]:
    """Fit an embedding, and first report the memory and time that it is expected to need.

    Args:
        estimator: the estimator that the embedding's target built.
        name: name of the embedding, for messages.
        vectors: (N, D).
        labels: (N,), -1 where one is missing; None if there are none. Only an embedding that
            `ReadsLabels` gets them.
        stage: name of the stage for progress events.
        emit: receives the estimate and progress events.

    Returns:
        Coordinates (N, n_components), float64, and the embedding's facts as JSON values.

    Raises:
        UserError: the embedding reads labels, and there are none.
        ResourceError: the embedding needs more memory than is free, or runs out of it.
        PluginError: the embedding fails, or does not return finite coordinates.
    """
    n, d = vectors.shape
    given: list[NDArray[Any]] = [vectors]
    if protocols.provides(estimator, protocols.ReadsLabels) and estimator.reads_labels:
        if labels is None or not (labels >= 0).any():
            raise UserError(
                f"embedding {name!r}: it is asked to use labels, and these points have none: use "
                f"points with labels, or leave this option out"
            )
        given.append(labels)
    needed = estimate(estimator, name, n, d)
    if needed is not None:
        emit(Notice("embedding-estimate", _estimate_line(name, n, needed), level="info"))
    if protocols.provides(estimator, protocols.ReportsProgress):
        estimator.on_progress = ProgressEmitter(stage, emit)
    with fault_of(f"embedding {name!r} failed on {n:,} points of {d} dimensions"), _memory(name, n):
        coordinates = np.asarray(estimator.fit_transform(*given), dtype=np.float64)
    if coordinates.ndim != 2 or len(coordinates) != n or coordinates.shape[1] not in (2, 3):
        raise PluginError(
            f"embedding {name!r} gave coordinates {coordinates.shape} for {n:,} points, "
            f"expected 2 or 3 numbers per point"
        )
    if not np.isfinite(coordinates).all():
        raise PluginError(f"embedding {name!r} gave coordinates that are not all finite")
    return coordinates, _facts(estimator, name)


def estimate(estimator: Any, name: str, n: int, d: int) -> protocols.ResourceEstimate | None:
    """Return what a fit of ``n`` vectors of ``d`` dimensions needs; None if it is not known.

    Raises:
        UserError: the embedding cannot map so few vectors or dimensions.
        ResourceError: the embedding needs more memory than is free.
        PluginError: the embedding fails to estimate.
    """
    if not protocols.provides(estimator, protocols.SupportsEstimate):
        return None
    with fault_of(f"embedding {name!r} cannot estimate what {n:,} points need"):
        needed = estimator.estimate(n, d)
    _check_memory(name, n, needed.bytes)
    return needed


class ProgressEmitter:
    """Forwards an embedding's progress as events, about ten per second.

    The first and the last step of each task always pass, because the time between them may be
    long.

    Args:
        stage: name of the stage that reports progress.
        emit: receives the progress events.
    """

    def __init__(self, stage: str, emit: Listener) -> None:
        self._stage = stage
        self._emit = emit
        self._next = 0.0
        self._last: StageProgress | None = None

    def __call__(self, done: int, total: int, message: str) -> None:
        """Report that ``done`` of ``total`` steps are done; a total of 0 means it is unknown."""
        event = StageProgress(self._stage, int(done), int(total), str(message))
        now = time.monotonic()
        if now < self._next and (event.done not in (0, event.total) or event == self._last):
            return
        self._next, self._last = now + _SECONDS_BETWEEN_EVENTS, event
        self._emit(event)


def _check_memory(name: str, n: int, needed: int) -> None:
    free = available_memory_bytes()
    if needed > free:
        raise ResourceError(
            f"embedding {name!r} of {n:,} points needs about {needed / 2**30:.1f} GiB of "
            f"memory, but only {free / 2**30:.1f} GiB are free: {_WAY_OUT}"
        )


_WAY_OUT = "map fewer points, or choose another embedding such as pca"


@contextmanager
def _memory(name: str, n: int) -> Iterator[None]:
    """Turn a `MemoryError`, after a low or missing estimate, into advice for the user."""
    try:
        yield
    except MemoryError as error:
        raise ResourceError(
            f"embedding {name!r} ran out of memory on {n:,} points: {_WAY_OUT}"
        ) from error


def _estimate_line(name: str, n: int, estimate: protocols.ResourceEstimate) -> str:
    mebibytes = estimate.bytes / 2**20
    memory = f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 100 else f"{max(1, mebibytes):.0f} MiB"
    seconds = estimate.seconds
    if seconds < 1:
        duration = "less than a second"
    else:
        duration = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{name} of {n:,} points: about {memory}, {duration}"


def _facts(estimator: Any, name: str) -> Mapping[str, Any]:
    """Return a fitted embedding's facts as JSON values."""
    if not protocols.provides(estimator, protocols.HasFacts):
        return {}
    with fault_of(f"embedding {name!r} gave facts that are not a JSON object"):
        facts = json.loads(json.dumps(dict(estimator.facts_), allow_nan=False))
    return dict(facts)
