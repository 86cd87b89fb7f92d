"""Fit of one embedding: its estimated resources, its progress and its result."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import PluginError, ResourceError
from latentkit.pipeline.memory import available_memory_bytes
from latentkit.plugin.events import Listener, Notice, StageProgress, ignore
from latentkit.plugin.protocols import (
    HasFacts,
    ReportsProgress,
    ResourceEstimate,
    SupportsEstimate,
    provides,
)
from latentkit.registry.targets import fault_of

_SECONDS_BETWEEN_EVENTS = 0.1


def fit_embedding(
    estimator: Any,
    name: str,
    vectors: NDArray[np.float32],
    *,
    stage: str = "",
    tell: Listener = ignore,
) -> tuple[NDArray[np.float64], Mapping[str, Any]]:
    """Fit an embedding, and first report the memory and time that it is expected to need.

    Args:
        estimator: the estimator that the embedding's target built.
        name: name of the embedding, for messages.
        vectors: (N, D).
        stage: name of the stage for progress events.
        tell: receives the estimate and progress events.

    Returns:
        Coordinates (N, n_components), float64, and the embedding's facts as JSON values.

    Raises:
        ResourceError: the embedding needs more memory than is free, or runs out of it.
        PluginError: the embedding fails, or does not return finite coordinates.
    """
    n, d = vectors.shape
    if provides(estimator, SupportsEstimate):
        with fault_of(f"embedding {name!r} cannot estimate what {n:,} points need"):
            estimate = estimator.estimate(n, d)
        _check_memory(name, n, estimate.bytes)
        tell(Notice("embedding-estimate", _estimate_line(name, n, estimate), level="info"))
    if provides(estimator, ReportsProgress):
        estimator.on_progress = ProgressTeller(stage, tell)
    with fault_of(f"embedding {name!r} failed on {n:,} points of {d} dimensions"), _memory(name, n):
        coordinates = np.asarray(estimator.fit_transform(vectors), dtype=np.float64)
    if coordinates.ndim != 2 or len(coordinates) != n or coordinates.shape[1] not in (2, 3):
        raise PluginError(
            f"embedding {name!r} gave coordinates {coordinates.shape} for {n:,} points, "
            f"expected 2 or 3 numbers per point"
        )
    if not np.isfinite(coordinates).all():
        raise PluginError(f"embedding {name!r} gave coordinates that are not all finite")
    return coordinates, _facts(estimator, name)


class ProgressTeller:
    """Forwards an embedding's progress as events, about ten per second.

    The first and the last step of each task always pass, because the time between them may be
    long.

    Args:
        stage: name of the stage that reports progress.
        tell: receives the progress events.
    """

    def __init__(self, stage: str, tell: Listener) -> None:
        self._stage = stage
        self._tell = tell
        self._next = 0.0
        self._last: StageProgress | None = None

    def __call__(self, done: int, total: int, message: str) -> None:
        """Report that ``done`` of ``total`` steps are done; a total of 0 means it is unknown."""
        event = StageProgress(self._stage, int(done), int(total), str(message))
        now = time.monotonic()
        if now < self._next and (event.done not in (0, event.total) or event == self._last):
            return
        self._next, self._last = now + _SECONDS_BETWEEN_EVENTS, event
        self._tell(event)


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


def _estimate_line(name: str, n: int, estimate: ResourceEstimate) -> str:
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
    if not provides(estimator, HasFacts):
        return {}
    with fault_of(f"embedding {name!r} gave facts that are not a JSON object"):
        facts = json.loads(json.dumps(dict(estimator.facts_), allow_nan=False))
    return dict(facts)
