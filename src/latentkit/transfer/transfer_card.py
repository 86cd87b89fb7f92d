"""The evaluation card of a transfer: the classifier's results before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import Mode
from latentkit.evaluation.bootstrap import CONFIDENCE, Bootstrap, Interval, replicated
from latentkit.evaluation.measuring import outside_training
from latentkit.evaluation.representation import confusion
from latentkit.plugin.seeds import stream_seed
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.initial_weights import INITIAL_FACTS
from latentkit.transfer.classifier import feature_source
from latentkit.transfer.fit import (
    Series,
    class_names,
    featured,
    label_text,
    labels_of,
    rows_of_fit,
    series_of,
    transfer_of,
)
from latentkit.transfer.transfer_stages import FEATURES, drop_checkpoints, series_path

BINS = 15
"""Number of bins of equal width in which confidence is compared with accuracy."""

Labels = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Json = dict[str, Any]


def classification(
    truth: Labels, probabilities: Floats, class_names: Sequence[str], draws: Bootstrap
) -> Json:
    """Return the results of a classifier as JSON.

    Args:
        truth: (N,), from 0 to K - 1.
        probabilities: (N, K), each row sums to 1.
        class_names: name of each of the K classes.
        draws: bootstrap of N items.

    Returns:
        ``accuracy``; ``balanced_accuracy``, the mean recall of the classes that have items;
        ``expected_calibration_error`` (C. Guo et al. 2017), the mean difference between confidence
        and accuracy in `BINS` bins; ``log_loss`` in nats; ``classes``, each with ``precision``
        (None if that class was never predicted) and ``recall``; ``confusion``, counts of items by
        true class (rows) and predicted class (columns); ``calibration``, each bin's confidence,
        accuracy and share of the items. Results have 95 % intervals.
    """
    found = probabilities.argmax(1)
    hits = (found == truth).astype(np.float64)
    counts = confusion(truth, found, len(class_names))
    likelihood = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return {
        "accuracy": asdict(draws.of_mean(hits)),
        "balanced_accuracy": _share(draws.of(_balanced, _by_class(truth, hits))),
        "expected_calibration_error": _share(
            draws.of(_calibration_error, _gaps(probabilities.max(1), hits))
        ),
        "log_loss": asdict(draws.of_mean(-np.log(np.maximum(likelihood, 1e-12)))),
        "classes": _classes(truth, found, class_names, draws),
        "confusion": counts.tolist(),
        "calibration": _bins(probabilities.max(1), hits),
    }


def balanced_accuracy(truth: Labels, hits: NDArray[np.bool_]) -> float:
    """Return the share of hits (N,) in each class of ``truth`` (N,), averaged over classes."""
    return float(_balanced(_by_class(truth, hits).sum(0)))


def calibration_error(confidence: Floats, hits: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of N items, see `classification`."""
    return float(_calibration_error(_gaps(confidence, hits).sum(0)))


def confused_pairs(counts: NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Return the pairs (true, predicted) of classes that are confused most often, in order.

    Pairs are ordered by their share of the true class's images, so that small classes count as much
    as large ones.

    Args:
        counts: (K, K), counts by true class (rows) and predicted class (columns).
        most: largest number of pairs; pairs that never occur are left out.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:most]
    pairs = [
        (int(row), int(column))
        for row, column in zip(*np.unravel_index(order, shares.shape), strict=True)
    ]
    return [pair for pair in pairs if shares[pair] > 0]


def _by_class(truth: Labels, hits: NDArray[Any]) -> NDArray[np.float64]:
    """Return per class whether an item is in it, and whether it is also a hit: (N, 2 K)."""
    members = (truth[:, None] == np.unique(truth)).astype(np.float64)
    return np.concatenate([members, members * hits[:, None]], axis=1)


def _balanced(sums: Floats) -> NDArray[np.float64]:
    members, found = np.split(sums, 2, axis=-1)
    # A resample may have no item of a small class; that class is left out of the mean.
    recall = np.divide(found, members, out=np.zeros_like(found), where=members > 0)
    balanced: NDArray[np.float64] = recall.sum(-1) / np.maximum((members > 0).sum(-1), 1)
    return balanced


def _gaps(confidence: Floats, hits: NDArray[Any]) -> NDArray[np.float64]:
    """Return confidence minus hit in the column of each item's bin, then ones: (N, BINS + 1)."""
    columns = np.zeros((len(hits), BINS + 1))
    columns[np.arange(len(hits)), _bin_of(confidence)] = confidence - hits.astype(np.float64)
    columns[:, BINS] = 1
    return columns


def _calibration_error(sums: Floats) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.abs(sums[..., :BINS]).sum(-1) / sums[..., BINS]
    return error


def _bin_of(confidence: Floats) -> NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def _bins(confidence: Floats, hits: Floats) -> list[Json]:
    places = _bin_of(confidence)
    return [
        {
            "confidence": float(confidence[places == number].mean()),
            "accuracy": float(hits[places == number].mean()),
            "share": float((places == number).mean()),
        }
        for number in np.unique(places)
    ]


def _classes(
    truth: Labels, found: Labels, class_names: Sequence[str], draws: Bootstrap
) -> list[Json]:
    rows = []
    for label, name in enumerate(class_names):
        true, given = truth == label, found == label
        both = true & given
        rows.append(
            {
                "class": name,
                "label": label,
                "n_images": int(true.sum()),
                "precision": _ratio(both, given, draws),
                "recall": _ratio(both, true, draws),
            }
        )
    return rows


def _ratio(part: NDArray[np.bool_], whole: NDArray[np.bool_], draws: Bootstrap) -> Json | None:
    """Return the share of ``part`` in ``whole`` with its interval; None if that is empty."""
    if not whole.any():
        return None

    def ratio(sums: Floats) -> NDArray[np.float64]:
        share: NDArray[np.float64] = sums[..., 0] / np.maximum(sums[..., 1], 1)
        return share

    return _share(draws.of(ratio, np.stack([part, whole], axis=1)))


def _share(found: Interval) -> Json:
    """Return a share as JSON; its interval is clipped to [0, 1], which shifts may exceed."""
    low, high = max(0.0, found.low), min(1.0, found.high)
    return asdict(replace(found, low=low, high=high))


FIGURES = ("accuracy", "balanced_accuracy", "expected_calibration_error")
BASELINE: Mode = "scratch"


def comparison(context: StageContext, series: Sequence[Series]) -> Json:
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


def _figures(context: StageContext, series: Series) -> dict[str, Any]:
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


PROTOCOL = 1
"""Version of this evaluation. Figures of different versions are not comparable."""
_PAIRS = 6
_EXAMPLES = 8
_STAGE = "evaluate"


def evaluate_transfer(context: StageContext) -> None:
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
    measured = {"after": (after, document["after"]), "before": (before, document["before"])}
    document |= _without_duplicates(context, truth, measured, names)
    if series := series_of(context.config):
        document["comparison"] = comparison(context, series)
        for one in series:
            drop_checkpoints(context, one)
    context.folder.commit_arrays(
        run_files.FIGURES_OF_IMAGES,
        _STAGE,
        hits_before=hits["before"].astype(np.float64),
        hits=hits["after"].astype(np.float64),
    )
    context.folder.commit_json(run_files.EVALUATION, _STAGE, document)


def _without_duplicates(
    context: StageContext,
    truth: Labels,
    found: Mapping[str, tuple[Floats, Json]],
    names: Sequence[str],
) -> Json:
    """Return figures of the test images that are not also training images, beside those of all.

    If all test images are, or none, the result is empty.

    Args:
        context: of the stage.
        truth: labels (N,).
        found: probabilities (N, K) and what `classification` says of them, by when they were
            measured.
        names: name of each of the K classes.
    """
    alone, n = outside_training(context.folder, len(truth))
    if alone.all() or not alone.any():
        return {}
    figures: Json = {}
    draws = Bootstrap(int(alone.sum()), stream_seed(context.seed, "evaluation", "no duplicates"))
    for when, (probabilities, measured) in found.items():
        kept = classification(truth[alone], probabilities[alone], names, draws)
        suffix = "" if when == "after" else f"_{when}"
        for name in (*FIGURES, "log_loss"):
            figures[f"{name}{suffix}"] = {"all": measured[name], "without": kept[name]}
    return {"without_duplicates": {"n_images": int(alone.sum()), **n, "figures": figures}}


def _setting(context: StageContext, n_features: int) -> Json:
    """Return the facts of the training: parent, mode, labels, features and start."""
    options, fit = transfer_of(context.config), featured(context.config)
    given = labels_of(context, "train")[rows_of_fit(context, fit)]
    return {
        "parent": options.parent or None,
        "mode": fit.mode,
        "labels": {
            "asked": label_text(fit.labels),
            "n": len(given),
            "by_class": np.bincount(given, minlength=len(class_names(context))).tolist(),
        },
        "features": {"of": feature_source(context.random_model()), "n": n_features},
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
