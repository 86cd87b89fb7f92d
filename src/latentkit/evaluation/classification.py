"""Quality of a classifier: figures with intervals over test items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation.bootstrap import Bootstrap, Interval
from latentkit.evaluation.probes import confusion

BINS = 15
"""Number of bins of equal width in which confidence is compared with accuracy."""

Labels = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Json = dict[str, Any]


def classification(
    truth: Labels, probabilities: Floats, class_names: Sequence[str], draws: Bootstrap
) -> Json:
    """Return the figures of a classifier as JSON.

    Args:
        truth: (N,), from 0 to K - 1.
        probabilities: (N, K), each row sums to 1.
        class_names: name of each of the K classes.
        draws: bootstrap of N items.

    Returns:
        ``accuracy``; ``balanced_accuracy``, the mean recall of the classes that have items;
        ``expected_calibration_error`` (C. Guo et al. 2017), the mean difference between confidence
        and accuracy in `BINS` bins; ``log_loss`` in nats; ``classes``, each with ``precision``
        (None if no item was given that label) and ``recall``; ``confusion``, counts of items by
        true class (rows) and given class (columns); ``calibration``, each bin's confidence,
        accuracy and share of the items. Figures have 95 % intervals.
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
    """Return the pairs (true, given) of different classes that are confused most often, in order.

    Pairs are ordered by their share of the true class, so that small classes count as much as large
    ones.

    Args:
        counts: (K, K), counts by true class (rows) and given class (columns).
        most: number of pairs at most; pairs that never occur are left out.
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
