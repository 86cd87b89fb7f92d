"""The evaluation card of a transfer: the classifier's figures before and after training."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.classifiers.features import feature_source
from latentkit.classifiers.labelled import label_text
from latentkit.evaluation.bootstrap import CONFIDENCE, Bootstrap
from latentkit.evaluation.classification import classification, confused_pairs
from latentkit.pipeline.context import EVALUATION, FIGURES_OF_IMAGES, RunContext
from latentkit.pipeline.start import INITIAL_FACTS
from latentkit.pipeline.transfers.building import class_names, labelled_rows, labels_of
from latentkit.pipeline.transfers.comparison import comparison
from latentkit.pipeline.transfers.fits import featured, series_of, transfer_of
from latentkit.pipeline.transfers.stages import FEATURES, drop_checkpoints
from latentkit.plugin.seeds import stream_seed

PROTOCOL = 1
"""Version of this evaluation. Figures of different versions are not comparable."""
_PAIRS = 6
_EXAMPLES = 8
_STAGE = "evaluate"

Json = dict[str, Any]


def evaluate_transfer(context: RunContext) -> None:
    """Measure the classifier on the test images and commit its evaluation card."""
    arrays = context.folder.arrays(FEATURES)
    truth, names = arrays["labels"], class_names(context)
    draws = Bootstrap(len(truth), stream_seed(context.seed, "evaluation", "bootstrap"))
    before, after = arrays["probabilities_before"], arrays["probabilities_after"]
    hits = {"before": before.argmax(1) == truth, "after": after.argmax(1) == truth}
    document: Json = {
        "protocol": PROTOCOL,
        "kind": "transfer",
        "split": "test",
        "n_images": len(truth),
        "seed": context.seed,
        "intervals": {
            "confidence": CONFIDENCE,
            "method": "bootstrap over test images",
            "resamples": draws.resamples,
        },
        **_setting(context, arrays["after"].shape[1]),
        "before_is": "logistic regression" if arrays["probed"] else "the classifier it starts from",
        "after": classification(truth, after, names, draws),
        "before": classification(truth, before, names, draws),
        "accuracy_gained": asdict(
            draws.of_mean(hits["after"].astype(float) - hits["before"].astype(float))
        ),
        "confused": _confused(after, truth, names),
    }
    if series := series_of(context.config):
        document["comparison"] = comparison(context, series)
        for one in series:
            drop_checkpoints(context, one)
    context.folder.commit_arrays(
        FIGURES_OF_IMAGES,
        _STAGE,
        hits_before=hits["before"].astype(np.float64),
        hits=hits["after"].astype(np.float64),
    )
    context.folder.commit_json(EVALUATION, _STAGE, document)


def _setting(context: RunContext, n_features: int) -> Json:
    """Return the facts of the training: parent, mode, labels, features and start."""
    options, fit = transfer_of(context.config), featured(context.config)
    given = labels_of(context, "train")[labelled_rows(context, fit)]
    return {
        "parent": options.parent or None,
        "mode": fit.mode,
        "labels": {
            "asked": label_text(fit.labels),
            "n": len(given),
            "by_class": np.bincount(given, minlength=len(class_names(context))).tolist(),
        },
        "features": {"of": feature_source(context.new_model()), "n": n_features},
        "start": {
            key: value
            for key, value in context.folder.json(INITIAL_FACTS).items()
            if key in ("from", "sha256")
        },
    }


def _confused(probabilities: NDArray[Any], truth: NDArray[Any], names: list[str]) -> list[Json]:
    """Return the most confused pairs of classes, each with its most confident mistakes."""
    given = probabilities.argmax(1)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (truth, given), 1)
    found = []
    for true, taken in confused_pairs(counts, _PAIRS):
        rows = np.flatnonzero((truth == true) & (given == taken))
        surest = rows[np.argsort(-probabilities[rows, taken], kind="stable")][:_EXAMPLES]
        found.append(
            {
                "true": names[true],
                "given": names[taken],
                "count": int(counts[true, taken]),
                "share": float(counts[true, taken] / counts[true].sum()),
                "images": surest.tolist(),
            }
        )
    return found
