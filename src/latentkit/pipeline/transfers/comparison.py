"""Mode ``all``: compare probe, fine-tuned and from scratch, by share of labels and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from latentkit.classifiers.labelled import label_text
from latentkit.config import Mode
from latentkit.evaluation.classification import balanced_accuracy, calibration_error
from latentkit.evaluation.replicates import replicated
from latentkit.pipeline.context import RunContext
from latentkit.pipeline.transfers.fits import Series
from latentkit.pipeline.transfers.stages import series_path

Json = dict[str, Any]

FIGURES = ("accuracy", "balanced_accuracy", "expected_calibration_error")
BASELINE: Mode = "scratch"


def comparison(context: RunContext, series: Sequence[Series]) -> Json:
    """Return the mean of each figure over the seeds, and the gain over training from scratch.

    Returns:
        ``seeds``; ``interval``, what the intervals mean; and ``rows``, one for each mode and
        share. A row has ``mode``, ``labels``, ``n_labels`` and the figures in `FIGURES`, each with
        ``value``, ``low``, ``high`` and ``values``, one for each seed. Rows of other modes than
        ``scratch`` also have ``above_scratch``: the accuracy minus that of ``scratch`` with the
        same labels, seed by seed.
    """
    found = {(one.mode, one.labels): _figures(context, one) for one in series}
    rows: list[Json] = []
    for one in series:
        figures = found[one.mode, one.labels]
        row: Json = {
            "mode": one.mode,
            "labels": label_text(one.labels),
            "n_labels": int(figures.pop("n_labels")[0]),
            **{name: asdict(replicated(figures[name])) for name in FIGURES},
        }
        if one.mode != BASELINE:
            other = found[BASELINE, one.labels]["accuracy"]
            row["above_scratch"] = asdict(replicated(figures["accuracy"] - other))
        rows.append(row)
    return {
        "seeds": [fit.seed for fit in series[0].fits],
        "interval": "Student's t over seeds: labels, head, order; one pre-trained encoder",
        "rows": rows,
    }


def _figures(context: RunContext, series: Series) -> dict[str, Any]:
    """Return each figure as an array (S,), with one value for each seed."""
    arrays = context.folder.arrays(series_path(series))
    truth = arrays["truth"]
    hits = [given == truth for given in arrays["given"]]
    pairs = zip(arrays["confidence"], hits, strict=True)
    return {
        "n_labels": arrays["n_labels"],
        "accuracy": np.array([one.mean() for one in hits]),
        "balanced_accuracy": np.array([balanced_accuracy(truth, one) for one in hits]),
        "expected_calibration_error": np.array([calibration_error(c, h) for c, h in pairs]),
    }
