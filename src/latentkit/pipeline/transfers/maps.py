"""Maps of a transfer's features before and after training, aligned with each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.errors import UserError
from latentkit.pipeline.context import RunContext, map_paths
from latentkit.pipeline.maps import MadeMap, Reference, make_map
from latentkit.pipeline.points import draw_rows
from latentkit.pipeline.transfers.fits import transfer_of
from latentkit.pipeline.transfers.stages import FEATURES

BEFORE = "before"


def map_features(context: RunContext, part: MapConfig) -> None:
    """Map the test features before and after training, and align the later map to the earlier."""
    if part.map.on != "test" or part.map.align_to:
        raise UserError(
            f"{part.label}: a transfer maps features of test images before and after training: "
            f"remove --on and --align-to, and use transfer.map_points to set how many"
        )
    arrays = context.folder.arrays(FEATURES)
    rows = map_rows(context, len(arrays["labels"]))
    before = _made(context, part, arrays["before"][rows], arrays["labels"][rows], rows)
    after = before
    if not np.array_equal(arrays["before"], arrays["after"]):
        reference = Reference(BEFORE, before.arrays["coordinates"], rows)
        after = _made(context, part, arrays["after"][rows], arrays["labels"][rows], rows, reference)
    arrays_path, facts_path = map_paths(part)
    stage = f"embed:{part.slug}"
    found: dict[str, NDArray[Any]] = {
        **after.arrays,
        "coordinates_before": before.arrays["coordinates"],
        "trustworthiness_before": before.arrays["trustworthiness"],
        "index": rows,
        "split": np.full(len(rows), 2, np.int8),
    }
    context.folder.commit_arrays(arrays_path, stage, **found)
    earlier = {f"{key}_before": before.document[key] for key in ("quality", "seconds", "facts")}
    context.folder.commit_json(facts_path, stage, {**after.document, **earlier})


def map_rows(context: RunContext, n: int) -> NDArray[np.int64]:
    """Return which of n test images to map: all, or a random draw with the run's seed."""
    return draw_rows(n, min(n, transfer_of(context.config).map_points), context.seed)


def _made(
    context: RunContext,
    part: MapConfig,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    reference: Reference | None = None,
) -> MadeMap:
    made = make_map(
        context.registry,
        part,
        features,
        labels,
        seed=context.seed,
        tell=context.tell,
        threads=context.config.run.threads,
        keys=rows,
        reference=reference,
    )
    return replace(made, arrays=dict(made.arrays))
